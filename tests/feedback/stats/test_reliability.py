"""Reliability: planted people are found again, and the answer is a stationary point of the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from feedback.stats.heads import fit_head
from feedback.stats.reliability import Votes, fit_reliability, objective

# SCIENCE's crowd: six careful, three careless, two toss a coin, one adversary.
FLIPS = np.array([0.03] * 6 + [0.25] * 3 + [0.5] * 2 + [0.95])


def crowd(n: int, seed: int = 0, left: float = 0.0) -> tuple[Votes, np.ndarray, np.ndarray]:
    """(votes, differences (n, 20), theta (20,)); annotators 3-5 lean to the left by `left` log odds."""
    rng = np.random.default_rng(seed)
    theta, d = rng.normal(size=20) * 0.54, rng.normal(size=(n, 20))
    who, side = rng.integers(0, 12, n), rng.choice([-1, 1], n)
    habit = np.where((who >= 3) & (who < 6), left, 0.0) * side
    prefers = rng.random(n) < expit(d @ theta + habit)
    return Votes.of(who, prefers != (rng.random(n) < FLIPS[who]), side), d, theta


def test_planted_people_are_found_again() -> None:
    votes, d, _ = crowd(6000)
    found = fit_reliability(votes, differences=d, lam=2.0)
    assert found.eta == pytest.approx(1 - FLIPS, abs=0.09)
    assert found.eta[:6].min() > found.eta[6:9].max() > found.eta[9:11].max() > found.eta[11]


def test_joint_learning_beats_trusting_everybody() -> None:
    votes, d, theta = crowd(1500)
    fresh = np.random.default_rng(99).normal(size=(4000, 20))

    def right(scores: np.ndarray) -> float:
        return float(((scores > 0) == (fresh @ theta > 0)).mean())

    joint = fit_reliability(votes, differences=d, lam=2.0).head
    assert joint is not None
    assert right(joint.rewards(fresh)) > right(fit_head(d, votes.vote, lam=2.0).rewards(fresh)) + 0.03


def test_a_left_habit_is_told_from_unreliability() -> None:
    votes, d, theta = crowd(8000, left=1.0)
    found = fit_reliability(votes, log_odds=d @ theta)
    assert found.bias[3:6].min() > 0.5
    assert np.abs(found.bias[:3]).max() < 0.4
    assert found.eta[:6].min() > 0.88


def test_no_direction_improves_the_answer() -> None:
    """Finite differences of the penalised likelihood in theta, eta and bias vanish at the fixed point."""
    votes, d, _ = crowd(400, left=0.5)
    lam = 2.0
    found = fit_reliability(votes, differences=d, lam=lam, rounds=3000)
    assert found.head is not None
    start = np.concatenate([found.head.theta, found.eta, found.bias])

    def value(x: np.ndarray) -> float:
        theta, eta, bias = x[:20], x[20:32], x[32:]
        return objective(votes, d @ theta, eta, bias) - lam / 2 * theta @ theta

    step = 1e-5
    for k in range(len(start)):
        move = np.zeros(len(start))
        move[k] = step
        assert abs(value(start + move) - value(start - move)) / (2 * step) < 0.02


def test_each_round_raises_the_likelihood() -> None:
    votes, d, theta = crowd(500)
    values = []
    for rounds in range(1, 12):
        found = fit_reliability(votes, log_odds=d @ theta, rounds=rounds)
        values.append(objective(votes, d @ theta, found.eta, found.bias))
    assert (np.diff(values) > -1e-6).all()


def test_few_votes_stay_near_the_prior() -> None:
    """One vote against a sure thing: eta = (about 0 + 8)/(1 + 10), not 0."""
    found = fit_reliability(Votes.of([0], [0], [1]), log_odds=[6.0])
    assert found.eta[0] == pytest.approx(8 / 11, abs=0.02)
    assert found.n.tolist() == [1]


def test_ties_say_nothing_about_reliability() -> None:
    found = fit_reliability(Votes.of([0] * 5, [0.5] * 5, [1] * 5), log_odds=[3.0] * 5)
    assert found.eta[0] == pytest.approx(0.8)
    assert (found.target == 0.5).all()
    assert found.n[0] == 0


def test_no_votes_are_no_error() -> None:
    assert len(fit_reliability(Votes.of([], [], []), log_odds=[]).eta) == 0


def test_bad_votes_are_refused() -> None:
    with pytest.raises(ValueError, match="votes are"):
        Votes.of([0], [0.7], [1])
    with pytest.raises(ValueError, match="shapes"):
        Votes.of([0, 1], [1], [1])
    with pytest.raises(ValueError, match="either"):
        fit_reliability(Votes.of([0], [1], [1]))
