"""Rewards of given texts by a reward model, with what it does not know: mean, sd, and the draws of its ensemble."""

from __future__ import annotations

import json
from typing import TypeVar

import numpy as np

from rlhf.engine.generate import Answer, Wish
from rlhf.engine.job import Outcome
from rlhf.engine.run_dir import RunDir, read_rows
from rlhf.engine.scorers import load_scorer
from rlhf.spec import ScoreConfig, Spec

T = TypeVar("T")
DRAWS = 64  # for picking the best of a few answers


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """out/scores.jsonl, out/draws.npy (n, draws) float32, out/ids.json; order of inputs/texts.jsonl."""
    config: ScoreConfig = spec.config
    rows = read_rows(run_dir.input("texts.jsonl"), ("id", "messages", "content"))
    scorer = load_scorer(run_dir, config.batch_size)
    draws = scorer.draws([(row["messages"], row["content"]) for row in rows], config.draws)
    mean, sd = draws.mean(axis=1), draws.std(axis=1)
    with run_dir.publishing() as out:
        np.save(out / "draws.npy", draws.astype(np.float32))
        (out / "ids.json").write_text(json.dumps([row["id"] for row in rows]))
        with (out / "scores.jsonl").open("w") as handle:
            for row, m, s in zip(rows, mean, sd, strict=True):
                handle.write(json.dumps({"id": row["id"], "mean": round(m, 6), "sd": round(s, 6)}) + "\n")
    return Outcome(rows=scorer.counts(len(rows)), tokens=scorer.tokens)


class BestOf:
    """Picks, for each wish, the candidate with the greatest mean - penalty * sd of its reward."""

    def __init__(self, run_dir: RunDir, penalty: float) -> None:
        self.scorer = load_scorer(run_dir, batch_size=32)
        self.penalty = penalty

    def __call__(self, batch: list[Wish], candidates: list[list[Answer]]) -> list[Answer]:
        """One answer a wish; of equals the first drawn."""
        texts = [
            (wish.messages, answer.content) for wish, choice in zip(batch, candidates, strict=True) for answer in choice
        ]
        return favourites(candidates, self.scorer.draws(texts, DRAWS), self.penalty)


def favourites(candidates: list[list[T]], draws: np.ndarray, penalty: float) -> list[T]:
    """The best of each choice; `draws` (n, k) holds the rewards of all candidates, choice after choice."""
    worth = iter(draws.mean(axis=1) - penalty * draws.std(axis=1))
    return [max(choice, key=lambda _: next(worth)) for choice in candidates]
