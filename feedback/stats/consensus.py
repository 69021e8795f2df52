"""How often each person is right, told from overlap alone: no known answers, no reward model.

    P(k says a | a is better) = sigma( s_k + b_k l)      l = +1 where a was shown left, -1 where right
    P(k says a | b is better) = sigma(-s_k + b_k l)      s_k: skill, b_k: habit of the left side

    E  each item's probability that a is better, from its votes and the skills (prior 1/2)
    M  s_k, b_k <- Newton step of each person's logistic likelihood under those, with
       s_k ~ N(1.4, 1) (about 80% right, softly) and b_k ~ N(0, 1/2^2)

This is Dawid and Skene (1979) with one skill and a side habit a person. The interval of a skill rests on the
observed information of the *marginal* likelihood (outer products of item scores), so it knows that the truth
was never seen. Where people hardly overlap it is wide, as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

PRIOR_SKILL, SKILL_PRECISION, HABIT_PRECISION = 1.4, 1.0, 4.0
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Consensus:
    """By person: accuracy with its 95% interval, habit of the left side, n votes. By item: p(a is better)."""

    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    habit: np.ndarray
    n: np.ndarray
    better: np.ndarray


def fit_consensus(
    item: ArrayLike, annotator: ArrayLike, vote: ArrayLike, side: ArrayLike, *, rounds: int = 200
) -> Consensus:
    """From (n,) item and annotator numbers from 0, votes (1: a is better, 0: b is), sides (+1: a left, -1: right).

    Raises ValueError for shapes that differ or other values. Ties carry nothing here: leave them out.
    """
    i, k = np.asarray(item, dtype=int), np.asarray(annotator, dtype=int)
    y, left = np.asarray(vote, dtype=float), np.asarray(side, dtype=float)
    if not i.shape == k.shape == y.shape == left.shape or i.ndim != 1:
        raise ValueError(f"shapes do not agree: {i.shape}, {k.shape}, {y.shape}, {left.shape}")
    if not np.isin(y, (0, 1)).all() or not np.isin(left, (-1, 1)).all():
        raise ValueError("votes are 0 or 1, sides -1 or 1")
    people, sign = int(k.max(initial=-1)) + 1, 2 * y - 1
    skill, habit = np.full(people, PRIOR_SKILL), np.zeros(people)
    for _ in range(rounds):
        better = _better(i, sign, skill[k], habit[k] * left)
        new_skill, habit = _step(k, sign, left, better[i], skill, habit)
        moved = float(np.abs(new_skill - skill).max(initial=0.0))
        skill = new_skill
        if moved < 1e-7:
            break
    better = _better(i, sign, skill[k], habit[k] * left)
    error = 1 / np.sqrt(_information(i, k, sign, left, better, skill, habit))
    return Consensus(
        _accuracy(skill, habit), _accuracy(skill - Z95 * error, habit), _accuracy(skill + Z95 * error, habit),
        habit, np.bincount(k, minlength=people), better,
    )  # fmt: skip


def _accuracy(skill: np.ndarray, habit: np.ndarray) -> np.ndarray:
    return (expit(skill + habit) + expit(skill - habit)) / 2


def _better(i: np.ndarray, sign: np.ndarray, skill: np.ndarray, habit: np.ndarray) -> np.ndarray:
    """(items,) posterior that a is better."""
    odds = np.log(expit(sign * (skill + habit))) - np.log(expit(sign * (-skill + habit)))
    return expit(np.bincount(i, weights=odds, minlength=int(i.max(initial=-1)) + 1))


def _step(
    k: np.ndarray, sign: np.ndarray, left: np.ndarray, p: np.ndarray, skill: np.ndarray, habit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One Newton step of every person's (skill, habit) on the expected log likelihood."""
    people = len(skill)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(k, weights=weights, minlength=people)

    gs = gh = hss = hhh = hsh = np.zeros(people)
    for z, w in ((1.0, p), (-1.0, 1 - p)):
        miss = expit(-sign * (z * skill[k] + habit[k] * left))
        curve = w * miss * (1 - miss)
        gs, gh = gs + total(w * miss * sign * z), gh + total(w * miss * sign * left)
        hss, hhh, hsh = hss + total(curve), hhh + total(curve), hsh + total(curve * z * left)
    gs, hss = gs - SKILL_PRECISION * (skill - PRIOR_SKILL), hss + SKILL_PRECISION
    gh, hhh = gh - HABIT_PRECISION * habit, hhh + HABIT_PRECISION
    det = hss * hhh - hsh**2
    return skill + np.clip((hhh * gs - hsh * gh) / det, -1, 1), habit + np.clip((hss * gh - hsh * gs) / det, -1, 1)


def _information(
    i: np.ndarray, k: np.ndarray, sign: np.ndarray, left: np.ndarray, better: np.ndarray, skill: np.ndarray,
    habit: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(people,) observed information about each skill, habits held: the prior's, and the squared item scores."""
    p, h = better[i], habit[k] * left
    score = sign * (p * expit(-sign * (skill[k] + h)) - (1 - p) * expit(-sign * (-skill[k] + h)))
    return SKILL_PRECISION + np.bincount(k, weights=score**2, minlength=len(skill))
