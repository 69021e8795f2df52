"""How well a reward model predicts people, from predictions that it made without having seen them.

Figures come from pairs that no rule chose (the control arm) where there are any: chosen pairs flatter or slander.
The table of all predictions goes beside the model, so that pages can draw what they like from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feedback.stats.estimates import Estimate, accuracy
from feedback.stats.heads import calibration_slope, log_loss
from feedback.stats.style import style_features
from rlhf.engine.features import Text, last_user_turn
from rlhf.engine.preference_rows import PreferenceRows

BINS = 10  # of equal count, for the expected calibration error
TABLE = "predictions.parquet"


@dataclass(frozen=True)
class Predictions:
    """(n,) arrays: probability that `chosen` is better; for ensembles also the spread of the reward difference,
    and the share of members on the likelier side (NaN where there is one member only)."""

    probability: np.ndarray
    spread: np.ndarray
    agreement: np.ndarray

    @classmethod
    def of_one(cls, probability: np.ndarray) -> Predictions:
        """Those of a single model, which knows no spread."""
        unknown = np.full(len(probability), np.nan)
        return cls(probability, unknown, unknown)


def judged(rows: PreferenceRows) -> np.ndarray:
    """(n,) mask of the rows that figures are taken from."""
    control = rows.arm == "control"
    return control if control.any() else np.ones(len(rows), dtype=bool)


def reward_figures(rows: PreferenceRows, predicted: np.ndarray) -> dict[str, object]:
    """Accuracy, calibration and the baselines "longer wins", "shorter wins", all on the same pairs."""
    used = judged(rows)
    target, group, likely = rows.target[used], rows.group[used], predicted[used]
    longer = _longer(rows)[used]
    return {
        "accuracy": estimate_json(accuracy(likely, target, group)),
        "accuracy_on": "control" if (rows.arm == "control").any() else "import",
        "longer_wins": estimate_json(accuracy(longer, target, group)),
        "shorter_wins": estimate_json(accuracy(1 - longer, target, group)),
        "log_loss": number(log_loss(likely, target)),
        "ece": number(expected_calibration_error(likely, target)),
        "calibration_slope": estimate_json(symmetric_slope(likely, target, group)),
        "n": int(used.sum()),
    }


def write_predictions(rows: PreferenceRows, found: Predictions, directory: Path) -> None:
    """predictions.parquet, a row a pair: what was predicted, what people said, and by what a page may group.

    `probability` and `target` are those of `chosen`; `used` marks the rows of the figures; `chosen_style` and
    `rejected_style` are the raw style features in the order of STYLE_NAMES; lengths are in characters.
    """
    lengths = _lengths(rows)
    table = {
        "pair_id": [row.get("pair_id") or "" for row in rows.source],
        "prompt_id": [row["prompt_id"] for row in rows.source],
        "group": rows.group.tolist(),
        "queue": [row.get("queue") or "" for row in rows.source],
        "arm": rows.arm.tolist(),
        "used": judged(rows).tolist(),
        "probability": np.round(found.probability, 6).tolist(),
        "target": rows.target.tolist(),
        "spread": _nullable(found.spread),
        "agreement": _nullable(found.agreement),
        "margin": rows.margin.tolist(),
        "strength": [_float(row.get("strength")) for row in rows.source],
        "votes": [int(row.get("votes") or 1) for row in rows.source],
        "judgment_ids": [list(row.get("judgment_ids") or []) for row in rows.source],
        "chosen_length": lengths[:, 0].tolist(),
        "rejected_length": lengths[:, 1].tolist(),
        "chosen_style": [_style(text) for text in rows.chosen],
        "rejected_style": [_style(text) for text in rows.rejected],
    }
    pq.write_table(pa.Table.from_pydict(table, schema=SCHEMA), directory / TABLE, compression="zstd")


SCHEMA = pa.schema(
    [
        ("pair_id", pa.string()), ("prompt_id", pa.string()), ("group", pa.string()), ("queue", pa.string()),
        ("arm", pa.string()), ("used", pa.bool_()), ("probability", pa.float64()), ("target", pa.float64()),
        ("spread", pa.float64()), ("agreement", pa.float64()), ("margin", pa.float64()), ("strength", pa.float64()),
        ("votes", pa.int64()), ("judgment_ids", pa.list_(pa.string())), ("chosen_length", pa.int64()),
        ("rejected_length", pa.int64()), ("chosen_style", pa.list_(pa.float64())),
        ("rejected_style", pa.list_(pa.float64())),
    ]
)  # fmt: skip


def _style(text: Text) -> list[float]:
    messages, content = text
    return [round(float(value), 6) for value in style_features(last_user_turn(messages), content)]


def _nullable(values: np.ndarray) -> list[float | None]:
    return [number(value) for value in values]


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


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


def _lengths(rows: PreferenceRows) -> np.ndarray:
    """(n, 2) characters of the chosen and the rejected answer."""
    return np.array([(len(a), len(b)) for (_, a), (_, b) in zip(rows.chosen, rows.rejected, strict=True)]).reshape(
        -1, 2
    )


def _longer(rows: PreferenceRows) -> np.ndarray:
    """(n,) 1 where the chosen answer has more characters, 0 where fewer, 1/2 where as many."""
    lengths = _lengths(rows)
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
    return {"value": number(value), "low": number(low), "high": number(high), "n": int(n)}


def number(value: float) -> float | None:
    """Six places; None for what is not a finite number."""
    return round(float(value), 6) if np.isfinite(value) else None
