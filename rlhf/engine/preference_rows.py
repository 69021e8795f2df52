"""Rows of a frozen reward dataset as the texts and arrays that reward models are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rlhf.engine.features import Text
from rlhf.engine.run_dir import UserError

NEEDED = ("prompt", "chosen", "rejected", "probability", "prompt_id")


@dataclass(frozen=True)
class PreferenceRows:
    """n pairs: texts, and arrays (n,) of target P(chosen is better), weight, margin, group and arm; and the rows
    of the dataset that they come from."""

    chosen: list[Text]
    rejected: list[Text]
    target: np.ndarray
    weight: np.ndarray
    margin: np.ndarray
    group: np.ndarray
    arm: np.ndarray
    source: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.chosen)

    def pick(self, mask: np.ndarray) -> PreferenceRows:
        """The rows that a (n,) mask marks."""
        return to_preferences([row for row, wanted in zip(self.source, mask, strict=True) if wanted])


def read_preferences(dataset: Path) -> PreferenceRows:
    """train.parquet and ties.parquet of a dataset directory. UserError `bad_dataset` names what is missing."""
    rows: list[dict[str, Any]] = []
    for name in ("train.parquet", "ties.parquet"):
        path = dataset / name
        if path.exists():
            rows += read_table(path)
        elif name == "train.parquet":
            raise UserError("bad_dataset", "the dataset holds no train.parquet", "inputs/dataset")
    if len(rows) < 2:
        raise UserError("too_few_rows", f"{len(rows)} train rows are not enough for a reward model", "inputs/dataset")
    return to_preferences(rows)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of one parquet file of a dataset. UserError `bad_dataset` when unreadable or a column is missing."""
    try:
        table = pq.read_table(path)
    except (OSError, ValueError) as error:
        raise UserError("bad_dataset", f"{path.name} cannot be read ({error})", "inputs/dataset") from error
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise UserError("bad_dataset", f"{path.name} lacks {', '.join(missing)}", "inputs/dataset")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def to_preferences(rows: list[dict[str, Any]]) -> PreferenceRows:
    """Dataset rows as texts and arrays; a tie has target 1/2 whatever its probability says."""
    return PreferenceRows(
        chosen=[(row["prompt"], row["chosen"][-1]["content"]) for row in rows],
        rejected=[(row["prompt"], row["rejected"][-1]["content"]) for row in rows],
        target=np.array([0.5 if row.get("tie") else row["probability"] for row in rows], dtype=float),
        weight=np.array([row.get("votes") or 1 for row in rows], dtype=float),
        margin=np.array([row.get("margin") or 0.0 for row in rows], dtype=float),
        group=np.array([row.get("group") or row["prompt_id"] for row in rows]),
        arm=np.array([row.get("arm") or "import" for row in rows]),
        source=rows,
    )
