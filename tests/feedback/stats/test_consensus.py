"""Who is right how often, from overlap alone: planted people come out where they were planted."""

from __future__ import annotations

import numpy as np
import pytest

from feedback.stats.consensus import fit_consensus

RIGHT = np.array([0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5])


def planted(seed: int, items: int = 400, votes: int = 5, habit: float = 0.0) -> tuple[np.ndarray, ...]:
    """Every item judged by `votes` of the eight people, the first of whom leans left by `habit` log odds."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.5
    item = np.repeat(np.arange(items), votes)
    who = np.concatenate([rng.permutation(len(RIGHT))[:votes] for _ in range(items)])
    side = rng.choice([-1, 1], len(item))
    skill = np.log(RIGHT / (1 - RIGHT))
    z = np.where(truth[item], 1, -1)
    p = 1 / (1 + np.exp(-(skill[who] * z + np.where(who == 0, habit, 0) * side)))
    return item, who, (rng.random(len(item)) < p).astype(int), side, truth


def test_planted_reliabilities_lie_in_their_intervals() -> None:
    """95% intervals of 8 people over 25 worlds: at least 90% hold the truth, and they are not vacuous."""
    inside, widths = [], []
    for seed in range(25):
        item, who, vote, side, _ = planted(seed)
        found = fit_consensus(item, who, vote, side)
        inside += list((found.low <= RIGHT) & (found.high >= RIGHT))
        widths += list(found.high - found.low)
    assert np.mean(inside) >= 0.9
    assert np.mean(widths) < 0.13


def test_estimates_have_no_large_bias() -> None:
    means = np.mean([fit_consensus(*planted(seed)[:4]).accuracy for seed in range(25)], axis=0)
    assert np.abs(means - RIGHT).max() < 0.03


def test_a_habit_of_the_left_side_is_found_in_who_has_it() -> None:
    item, who, vote, side, _ = planted(1, items=1500, habit=1.0)
    found = fit_consensus(item, who, vote, side)
    assert found.habit[0] == pytest.approx(1.0, abs=0.35)
    assert np.abs(found.habit[1:]).max() < 0.35


def test_the_truth_comes_out_better_than_by_majority() -> None:
    item, who, vote, side, truth = planted(2, items=2000, votes=3)
    better = fit_consensus(item, who, vote, side).better
    majority = np.bincount(item, weights=vote) >= 2
    assert ((better > 0.5) == truth).mean() > (majority == truth).mean()


def test_without_overlap_the_prior_is_all_that_is_known() -> None:
    """One vote an item says nothing about anybody: about 80%, with an interval that admits nearly everything."""
    found = fit_consensus(np.arange(50), np.zeros(50, int), np.ones(50, int), np.tile([1, -1], 25))
    assert found.low[0] < 0.5 and found.high[0] > 0.9


def test_values_that_are_no_votes_are_refused() -> None:
    with pytest.raises(ValueError, match="votes are 0 or 1"):
        fit_consensus([0], [0], [0.5], [1])
    with pytest.raises(ValueError, match="shapes"):
        fit_consensus([0, 1], [0], [1], [1])
