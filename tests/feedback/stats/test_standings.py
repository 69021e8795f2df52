"""Standings against two other implementations, and what they must find again when it was planted."""

from __future__ import annotations

import choix
import evalica
import numpy as np
import pytest
from scipy.special import expit

from feedback.stats.standings import fit_standings


def votes(n: int, strengths: list[float], *, side: float = 0.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    left = rng.integers(len(strengths), size=n)
    right = (left + rng.integers(1, len(strengths), size=n)) % len(strengths)
    s = np.array(strengths)
    won = (rng.random(n) < expit(s[left] - s[right] + side)).astype(float)
    return left, right, won


def test_strengths_are_those_of_choix() -> None:
    left, right, won = votes(600, [0.8, 0.2, 0.0, -1.0])
    pairs = [(a, b) if x else (b, a) for a, b, x in zip(left, right, won, strict=True)]
    theirs = choix.ilsr_pairwise(4, pairs, alpha=0.0)
    ours = fit_standings(4, left, right, won, with_side=False, lam=1e-9, draws=0)
    assert ours.value == pytest.approx(theirs - theirs.mean(), abs=1e-4)


def test_strengths_are_those_of_evalica_ties_as_halves() -> None:
    left, right, won = votes(500, [0.6, 0.0, -0.6], seed=3)
    outcome = np.where(np.arange(500) % 7 == 0, 0.5, won)
    names = [["a", "b", "c"][k] for k in left], [["a", "b", "c"][k] for k in right]
    said = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    scores = evalica.bradley_terry(*names, [said[x] for x in outcome], tolerance=1e-10).scores
    theirs = np.log([scores[name] for name in "abc"])
    ours = fit_standings(3, left, right, outcome, with_side=False, lam=1e-9, draws=0)
    assert ours.value == pytest.approx(theirs - theirs.mean(), abs=1e-3)


def test_the_habit_of_picking_left_is_found_and_does_not_move_the_strengths() -> None:
    left, right, won = votes(20_000, [0.5, 0.0, -0.5], side=0.4, seed=1)
    found = fit_standings(3, left, right, won, draws=50)
    assert found.side.value == pytest.approx(0.4, abs=0.05)
    assert found.side.low < 0.4 < found.side.high
    assert found.value == pytest.approx([0.5, 0.0, -0.5], abs=0.06)


def test_a_policy_that_wins_by_length_alone_loses_its_lead_under_style_control() -> None:
    """Both are equally good; the first one writes longer answers, and people like long ones."""
    rng = np.random.default_rng(2)
    n = 8000
    left = rng.integers(2, size=n)
    right = 1 - left
    longer = np.where(left == 0, 1.0, -1.0) + rng.normal(0, 1, n)
    won = (rng.random(n) < expit(0.7 * longer)).astype(float)
    raw = fit_standings(2, left, right, won, draws=0)
    controlled = fit_standings(2, left, right, won, style=longer[:, None], draws=40)
    assert raw.win_rate(0, 1) > 0.62
    assert controlled.win_rate(0, 1) == pytest.approx(0.5, abs=0.03)
    assert controlled.style[0].low > 0.5  # in units of the root mean square, which is sqrt(2): 0.7 * 1.41


def test_intervals_are_wider_when_votes_share_their_prompts() -> None:
    left, right, won = votes(400, [0.3, 0.0], seed=5)
    copies = [np.repeat(a, 5) for a in (left, right, won)]
    alone = fit_standings(2, *copies, draws=300)
    tied = fit_standings(2, *copies, groups=np.repeat(np.arange(400), 5), draws=300)
    honest = fit_standings(2, left, right, won, draws=300)
    width = [float((s.high - s.low)[0]) for s in (alone, tied, honest)]
    assert width[1] == pytest.approx(width[2], rel=0.15)
    assert width[0] < 0.6 * width[1]


def test_ranks_are_ranges_that_few_votes_cannot_tell_apart() -> None:
    few = fit_standings(3, *votes(12, [0.1, 0.0, -0.1]), draws=200)
    assert few.best.tolist() == [1, 1, 1]
    assert few.worst.tolist() == [3, 3, 3]
    many = fit_standings(3, *votes(3000, [1.0, 0.0, -1.0]), draws=200)
    assert list(zip(many.best.tolist(), many.worst.tolist(), strict=True)) == [(1, 1), (2, 2), (3, 3)]


def test_the_true_strength_lies_in_its_interval_about_as_often_as_promised() -> None:
    inside = [
        bool(s.low[0] <= 0.4 <= s.high[0])
        for s in (fit_standings(2, *votes(200, [0.4, -0.4], seed=k), draws=200) for k in range(100))
    ]
    assert sum(inside) >= 88


def test_somebody_without_a_loss_stays_finite() -> None:
    found = fit_standings(2, [0, 0, 1], [1, 1, 0], [1, 1, 0], draws=20)
    assert np.isfinite(found.high).all()
    assert found.value[0] > found.value[1]


@pytest.mark.parametrize(
    ("left", "right", "outcome"), [([0], [0], [1.0]), ([0], [2], [1.0]), ([], [], []), ([0, 1], [1, 0], [1.0])]
)
def test_what_is_no_table_of_votes_is_refused(left: list, right: list, outcome: list) -> None:
    with pytest.raises(ValueError, match="players|plays|votes"):
        fit_standings(2, left, right, outcome)
