"""From votes to entries: one row-to-be a pair (or a judgment), which answer comes first, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feedback.stats import aggregators

from .recipe import Recipe
from .votes import Pairs, Votes

BOTH_BAD = 3
PLACES = 6


@dataclass
class Entries:
    """n rows-to-be in the order of their public id. `swapped`: the better answer is b of the pair.

    `start`, `end`: the entry's votes in Votes, which are sorted by pair.
    """

    pair: np.ndarray
    swapped: np.ndarray
    probability: np.ndarray  # that the better answer is better: 1/2 to 1
    margin: np.ndarray
    votes: np.ndarray  # for either side, or ties
    bad: np.ndarray  # votes that both are bad
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.pair)

    @property
    def tie(self) -> np.ndarray:
        return self.probability == 0.5


def aggregate(pairs: Pairs, votes: Votes, recipe: Recipe) -> Entries:
    """Entries by the recipe's way of putting votes together; every float is rounded to 6 places."""
    if recipe.aggregation == "per_judgment":
        return _per_judgment(votes, recipe)
    m = len(pairs)
    bad = votes.outcome == BOTH_BAD
    telling = votes.only(~bad)
    p = np.round(_probability(pairs, telling, recipe.aggregation), PLACES)
    counted = np.bincount(telling.pair, minlength=m)
    p[counted == 0] = 0.5
    edges = np.searchsorted(votes.pair, np.arange(m + 1))
    return _oriented(
        np.arange(m), p, _margin(telling, m, recipe), counted, np.bincount(votes.pair[bad], minlength=m),
        edges[:-1], edges[1:], recipe,
    )  # fmt: skip


def _probability(pairs: Pairs, votes: Votes, method: str) -> np.ndarray:
    m = len(pairs)
    if method == "majority":
        return aggregators.majority(votes.pair, votes.outcome, m)
    if method == "dawid_skene":
        posterior = aggregators.dawid_skene(votes.pair, votes.person, votes.outcome, m)
        return posterior[:, aggregators.A] + 0.5 * posterior[:, aggregators.TIE]
    if method == "bradley_terry":
        _, number = np.unique(np.concatenate([pairs.a_key, pairs.b_key]), return_inverse=True)
        fit = aggregators.noisy_bradley_terry(
            votes.pair, votes.person, votes.outcome, number[:m], number[m:], weight=votes.weight
        )
        return fit.probability
    return aggregators.share(votes.pair, votes.outcome, m)


def _per_judgment(votes: Votes, recipe: Recipe) -> Entries:
    """Every judgment a row of its own."""
    n = np.arange(len(votes))
    bad = (votes.outcome == BOTH_BAD).astype(np.int64)
    p = np.where(votes.outcome == aggregators.A, 1.0, np.where(votes.outcome == aggregators.B, 0.0, 0.5))
    own = Votes(n, votes.judgment, votes.person, votes.outcome, votes.strength, votes.weight, votes.people)
    return _oriented(votes.pair, p, _margin(own, len(votes), recipe), 1 - bad, bad, n, n + 1, recipe)


def _margin(votes: Votes, m: int, recipe: Recipe) -> np.ndarray:
    """(m,) mean strength for a: +1..3 for votes on a (1 where none was given), minus on b, over decisive votes."""
    if recipe.margin == "none":
        return np.zeros(m)
    side = np.where(votes.outcome == aggregators.A, 1.0, np.where(votes.outcome == aggregators.B, -1.0, 0.0))
    pull = np.bincount(votes.pair, weights=side * np.maximum(votes.strength, 1), minlength=m)
    n = np.bincount(votes.pair, weights=np.abs(side), minlength=m)
    return np.divide(pull, n, out=np.zeros(m), where=n > 0)


def _oriented(
    pair: np.ndarray, p: np.ndarray, margin: np.ndarray, votes: np.ndarray, bad: np.ndarray, start: np.ndarray,
    end: np.ndarray, recipe: Recipe,
) -> Entries:  # fmt: skip
    swapped = p < 0.5
    sure = np.round(np.where(swapped, 1 - p, p), PLACES)
    toward = np.round(np.maximum(np.where(swapped, -margin, margin), 0.0), PLACES)
    if recipe.targets == "hard":
        sure = np.where(sure > 0.5, 1.0, 0.5)
    return Entries(pair, swapped, sure, toward, votes, bad, start, end)
