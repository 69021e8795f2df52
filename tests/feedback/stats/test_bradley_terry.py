"""Strengths by hand, against two independent implementations, and on tables that have no finite answer."""

from __future__ import annotations

import time

import numpy as np
import pytest

from feedback.stats.bradley_terry import bradley_terry, fit_strengths, win_table


def planted(m: int, games: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(m, m) wins of players with the log strengths (m,), mean 0."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=m)
    truth -= truth.mean()
    first = rng.integers(0, m, games)
    second = (first + rng.integers(1, m, games)) % m
    won = rng.random(games) < 1 / (1 + np.exp(truth[second] - truth[first]))
    return win_table(m, np.where(won, first, second), np.where(won, second, first)), truth


def test_three_wins_of_four_are_log_three() -> None:
    """Without a prior P(0 beats 1) = 3/4, so the log strengths differ by log 3."""
    found = bradley_terry([[0, 3], [1, 0]], prior=0)
    assert found.value == pytest.approx([np.log(3) / 2, -np.log(3) / 2])
    assert found.win_probability(0, 1) == pytest.approx(0.75)


def test_a_tie_counts_half() -> None:
    table = win_table(2, [0, 0, 1], [1, 1, 0], ties=[False, True, True])
    assert table.tolist() == [[0, 2], [1, 0]]


def test_strengths_are_the_maximum_of_the_penalised_likelihood() -> None:
    """At the answer, moved to where the prior wants it, no player's gradient is left."""
    table, _ = planted(7, 60)
    value, prior = fit_strengths(table[None], 0.5)[0], 0.5
    shift = _root(lambda c: (1 / (1 + np.exp(-(value + c))) - 0.5).sum())
    s = value + shift
    p = 1 / (1 + np.exp(s[None, :] - s[:, None]))
    gradient = (table * (1 - p) - table.T * p).sum(axis=1) + prior * (1 - 2 / (1 + np.exp(-s)))
    assert gradient == pytest.approx(np.zeros(7), abs=1e-4)


def test_a_player_who_never_lost_is_finite() -> None:
    found = bradley_terry([[0, 5, 0], [0, 0, 0], [0, 0, 0]])
    assert np.isfinite(found.value).all()
    assert found.value[0] > found.value[2] > found.value[1]


def test_no_games_leave_all_equal() -> None:
    assert bradley_terry(np.zeros((3, 3))).value == pytest.approx(np.zeros(3))
    assert bradley_terry(np.zeros((3, 3)), prior=0).value == pytest.approx(np.zeros(3))


@pytest.mark.parametrize("table", [[[0, 1]], [[0, -1], [1, 0]], [[1, 0], [0, 0]]])
def test_what_is_no_table_of_wins_is_refused(table: list) -> None:
    with pytest.raises(ValueError, match=r"square|counts"):
        bradley_terry(table)


def test_equals_choix() -> None:
    choix = pytest.importorskip("choix")
    table, _ = planted(8, 400)
    rows = [(i, j) for i in range(8) for j in range(8) for _ in range(int(table[i, j]))]
    theirs = choix.opt_pairwise(8, rows, alpha=0)
    assert bradley_terry(table, prior=0).value == pytest.approx(theirs - theirs.mean(), abs=1e-3)


def test_equals_evalica() -> None:
    evalica = pytest.importorskip("evalica")
    table, _ = planted(8, 400)
    rows = [(i, j) for i in range(8) for j in range(8) for _ in range(int(table[i, j]))]
    scores = evalica.bradley_terry([i for i, _ in rows], [j for _, j in rows], [evalica.Winner.X] * len(rows)).scores
    theirs = np.log([scores[i] for i in range(8)])
    assert bradley_terry(table, prior=0).value == pytest.approx(theirs - theirs.mean(), abs=1e-2)


def test_intervals_hold_the_planted_strengths() -> None:
    held = []
    for seed in range(10):
        table, truth = planted(6, 600, seed)
        found = bradley_terry(table, draws=200, seed=seed)
        held += [low <= t <= high for low, t, high in zip(found.low, truth, found.high, strict=True)]
    assert np.mean(held) > 0.85


def test_a_hundred_thousand_games_of_fifty_players_are_quick() -> None:
    table, truth = planted(50, 100_000)
    start = time.perf_counter()
    found = bradley_terry(table)
    assert time.perf_counter() - start < 0.1
    assert np.abs(found.value - truth).max() < 0.15


def _root(f, low: float = -20.0, high: float = 20.0) -> float:
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return (low + high) / 2
