"""A reward model in seconds: an ensemble head on frozen features, judged by cross-fitting."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from feedback.stats.estimates import accuracy
from feedback.stats.heads import Standardiser, cross_fit, fit_head, fold_heads, log_loss
from rlhf.engine.features import Extractor, feature_names
from rlhf.engine.heads import RewardHead
from rlhf.engine.job import Outcome
from rlhf.engine.preference_rows import PreferenceRows, read_preferences, read_table, to_preferences
from rlhf.engine.reward_figures import Predictions, estimate_json, reward_figures, write_predictions
from rlhf.engine.run_dir import RunDir
from rlhf.spec import RewardConfig, Spec

MEMBERS = 64  # posterior draws behind spread and agreement


def fit(run_dir: RunDir, spec: Spec) -> Outcome:
    """Fit on all train rows; out/ holds head.npz, head.json and predictions.parquet."""
    config: RewardConfig = spec.config
    rows = read_preferences(run_dir.input("dataset"))
    extractor = Extractor(run_dir, config.layer, config.batch_size, config.max_length)
    features = extractor.features(rows.chosen + rows.rejected)
    standardiser = Standardiser.fit(features)
    differences = np.subtract(*np.split(standardiser.apply(features), 2))
    penalty = _choose_penalty(run_dir, differences, rows, config, spec.seed)
    found = _cross_fitted(differences, rows, penalty, config.folds, spec.seed)
    figures = reward_figures(rows, found.probability) | {"penalty": penalty, "layer": extractor.layer}
    figures |= {"method": "head", "held_out": "cross-fitted by prompt group"}
    head = fit_head(differences, rows.target, rows.weight, penalty)
    fitted = RewardHead(head, standardiser, _about(extractor, config, features, figures, penalty))
    figures |= _dev_figures(run_dir, extractor, fitted)
    with run_dir.publishing() as out:
        fitted.save(out)
        write_predictions(rows, found, out)
    run_dir.progress(1, 1, {"accuracy": figures["accuracy"]["value"]}, phase="head")  # type: ignore[index]
    return Outcome(figures, {"pairs": len(rows)} | extractor.counts(2 * len(rows)), extractor.tokens)


def _about(
    extractor: Extractor, config: RewardConfig, features: np.ndarray, figures: dict[str, object], penalty: float
) -> dict[str, object]:
    return {
        "base": extractor.digest,
        "layer": extractor.layer,
        "max_length": config.max_length,
        "names": feature_names(features.shape[1] - len(feature_names(0))),
        "lam": penalty,
        "calibration_slope": figures["calibration_slope"],
    }


def _dev_figures(run_dir: RunDir, extractor: Extractor, fitted: RewardHead) -> dict[str, object]:
    """Accuracy on the dataset's dev pairs (test.parquet), where it has some."""
    path = run_dir.input("dataset") / "test.parquet"
    rows = to_preferences(read_table(path)) if path.exists() else None
    if rows is None or not len(rows):
        return {}
    rewards = fitted.standardiser.apply(extractor.features(rows.chosen + rows.rejected)) @ fitted.head.theta
    predicted = expit(np.subtract(*np.split(rewards, 2)))
    return {"dev_accuracy": estimate_json(accuracy(predicted, rows.target, rows.group))}


def _choose_penalty(
    run_dir: RunDir, differences: np.ndarray, rows: PreferenceRows, config: RewardConfig, seed: int
) -> float:
    """The penalty with the least cross-fitted log loss over all rows.

    One of a handful is chosen on the rows that are reported on afterwards; the optimism of that is far below the
    interval that goes with the figures.
    """
    best: tuple[float, float] | None = None
    for penalty in config.penalties:
        run_dir.check_stop()
        predicted = cross_fit(differences, rows.target, rows.weight, rows.group, penalty, folds=config.folds, seed=seed)
        loss = log_loss(predicted, rows.target, rows.weight)
        if best is None or loss < best[0]:
            best = (loss, penalty)
    assert best is not None
    return best[1]


def _cross_fitted(differences: np.ndarray, rows: PreferenceRows, penalty: float, folds: int, seed: int) -> Predictions:
    """Each pair by a head (and its posterior draws) that saw no pair of the same group."""
    n = len(rows)
    probability, spread, agreement = np.full(n, 0.5), np.full(n, np.nan), np.full(n, np.nan)
    for out, head in fold_heads(differences, rows.target, rows.weight, rows.group, penalty, folds, seed):
        reward = head.rewards(differences[out])
        members = differences[out] @ head.draws(MEMBERS, seed=0).T
        probability[out], spread[out] = expit(reward), members.std(axis=1)
        agreement[out] = (np.sign(members) == np.sign(reward)[:, None]).mean(axis=1)
    return Predictions(probability, spread, agreement)
