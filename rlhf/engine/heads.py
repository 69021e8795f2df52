"""A reward head on disk: the fitted ensemble, its standardiser, and which features of which base it reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feedback.stats.heads import Head, Standardiser
from rlhf.engine.features import Extractor, Text
from rlhf.engine.run_dir import RunDir, UserError


@dataclass(frozen=True)
class RewardHead:
    """`about` holds base digest, layer, max_length, feature names, lam, calibration slope: plain JSON."""

    head: Head
    standardiser: Standardiser
    about: dict[str, Any]

    def save(self, directory: Path) -> None:
        """head.npz and head.json."""
        arrays: dict[str, Any] = self.head.to_arrays() | self.standardiser.to_arrays()
        np.savez(directory / "head.npz", **arrays)
        (directory / "head.json").write_text(json.dumps(self.about, indent=1, sort_keys=True))

    @classmethod
    def load(cls, directory: Path) -> RewardHead:
        """What `save` wrote. UserError `bad_head` when it is not there or not whole."""
        try:
            about = json.loads((directory / "head.json").read_text())
            with np.load(directory / "head.npz", allow_pickle=False) as arrays:
                return cls(Head.from_arrays(arrays), Standardiser.from_arrays(arrays), about)
        except (OSError, ValueError, KeyError) as error:
            raise UserError("bad_head", f"the reward head cannot be read ({error})", "inputs/head") from error

    def draws(self, features: np.ndarray, count: int) -> np.ndarray:
        """(n, count) rewards under posterior draws. The draws are the same ones at each call."""
        rewards: np.ndarray = self.standardiser.apply(features) @ self.head.draws(count, seed=0).T
        return rewards


class Scorer:
    """A head with the base whose features it reads; refuses another base."""

    def __init__(self, run_dir: RunDir, batch_size: int) -> None:
        self.head = RewardHead.load(run_dir.input("head"))
        about = self.head.about
        base = run_dir.optional_input("head_base") or run_dir.input("base")
        self.extractor = Extractor(run_dir, about["layer"], batch_size, about["max_length"], base)
        if self.extractor.digest != about["base"]:
            raise UserError("wrong_base", "the head was trained on the features of another base", "inputs/base")

    def draws(self, texts: list[Text], count: int) -> np.ndarray:
        """(n, count) posterior draws of the reward of each text."""
        return self.head.draws(self.extractor.features(texts), count)

    def counts(self, texts: int) -> dict[str, int]:
        """Row counts for the result."""
        return self.extractor.counts(texts)

    @property
    def tokens(self) -> int:
        """Tokens read so far."""
        return self.extractor.tokens
