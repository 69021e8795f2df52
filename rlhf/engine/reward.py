"""A reward model in seconds: an ensemble head on frozen features, judged by cross-fitting.

Figures come from pairs that no rule chose (the control arm) where there are any: chosen pairs flatter or slander.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from feedback.stats.estimates import Estimate
from feedback.stats.heads import (
    Standardiser,
    accuracy,
    calibration_slope,
    cross_fit,
    fit_head,
    log_loss,
)
from rlhf.engine.features import Extractor, feature_names
from rlhf.engine.heads import RewardHead
from rlhf.engine.job import Outcome
from rlhf.engine.preference_rows import PreferenceRows, read_preferences, read_table, to_preferences
from rlhf.engine.run_dir import RunDir
from rlhf.spec import RewardConfig, Spec

BINS = 10  # of equal count, for the expected calibration error


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Fit on all train rows; out/ holds head.npz and head.json."""
    config: RewardConfig = spec.config
    rows = read_preferences(run_dir.input("dataset"))
    extractor = Extractor(run_dir, config.layer, config.batch_size, config.max_length)
    features = extractor.features(rows.chosen + rows.rejected)
    standardiser = Standardiser.fit(features)
    differences = np.subtract(*np.split(standardiser.apply(features), 2))
    penalty, predicted = _choose_penalty(run_dir, differences, rows, config, spec.seed)
    figures = reward_figures(rows, predicted) | {"penalty": penalty, "layer": extractor.layer}
    head = fit_head(differences, rows.target, rows.weight, penalty)
    fitted = RewardHead(head, standardiser, _about(extractor, config, features, figures, penalty))
    figures |= _dev_figures(run_dir, extractor, fitted)
    with run_dir.publishing() as out:
        fitted.save(out)
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
) -> tuple[float, np.ndarray]:
    """The penalty with the least cross-fitted log loss over all rows, and its cross-fitted predictions (n,).

    One of a handful is chosen on the rows that are reported on afterwards; the optimism of that is far below the
    interval that goes with the figures.
    """
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in config.penalties:
        run_dir.check_stop()
        predicted = cross_fit(differences, rows.target, rows.weight, rows.group, penalty, folds=config.folds, seed=seed)
        loss = log_loss(predicted, rows.target, rows.weight)
        if best is None or loss < best[0]:
            best = (loss, penalty, predicted)
    assert best is not None
    return best[1], best[2]


def reward_figures(rows: PreferenceRows, predicted: np.ndarray) -> dict[str, object]:
    """Accuracy, calibration and the baselines "longer wins", "shorter wins", all on the same pairs."""
    control = rows.arm == "control"
    used = control if control.any() else np.ones(len(rows), dtype=bool)
    target, group, likely = rows.target[used], rows.group[used], predicted[used]
    longer = _longer(rows)[used]
    return {
        "accuracy": estimate_json(accuracy(likely, target, group)),
        "accuracy_on": "control" if control.any() else "import",
        "longer_wins": estimate_json(accuracy(longer, target, group)),
        "shorter_wins": estimate_json(accuracy(1 - longer, target, group)),
        "log_loss": _number(log_loss(likely, target)),
        "ece": _number(expected_calibration_error(likely, target)),
        "calibration_slope": estimate_json(symmetric_slope(likely, target, group)),
        "n": int(used.sum()),
    }


def symmetric_slope(predicted: np.ndarray, target: np.ndarray, group: np.ndarray) -> Estimate:
    """Calibration slope with every pair seen from both sides.

    `chosen` always comes first in a dataset, so an intercept would explain everything; seen from both sides it is
    nought by symmetry, and clustering by group keeps the doubling out of the interval.
    """
    slope = calibration_slope(
        np.concatenate([predicted, 1 - predicted]),
        np.concatenate([target, 1 - target]),
        np.concatenate([group, group]),
    )
    return slope._replace(n=len(target))


def _longer(rows: PreferenceRows) -> np.ndarray:
    """(n,) 1 where the chosen answer has more characters, 0 where fewer, 1/2 where as many."""
    lengths = np.array([(len(a), len(b)) for (_, a), (_, b) in zip(rows.chosen, rows.rejected, strict=True)])
    sides: np.ndarray = (np.sign(lengths[:, 0] - lengths[:, 1]) + 1) / 2
    return sides


def expected_calibration_error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean |predicted - observed| over bins of equal count, of the likelier side's probability.

    Folding to the likelier side matters: `chosen` always comes first, so raw targets have no variance. Biased
    upwards at small n (a perfect predictor averages about .08 at n = 150): a description, never a gate.
    """
    sure = np.maximum(predicted, 1 - predicted)
    right = np.where(predicted >= 0.5, target, 1 - target)
    bins = np.array_split(np.argsort(sure, kind="stable"), min(BINS, max(1, len(sure))))
    gaps = [len(b) * abs(sure[b].mean() - right[b].mean()) for b in bins if len(b)]
    return float(sum(gaps) / max(1, len(sure)))


def estimate_json(estimate: Estimate) -> dict[str, float | int | None]:
    """{"value", "low", "high", "n"} with null for what is not a finite number."""
    value, low, high, n = estimate
    return {"value": _number(value), "low": _number(low), "high": _number(high), "n": int(n)}


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
