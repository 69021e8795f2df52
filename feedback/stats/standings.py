"""Who is better than whom, from pairwise votes: Bradley-Terry with the side shown and style taken into account.

    logit P(left is preferred) = s_left - s_right + g + b . (style_left - style_right) / scale

s: strengths, mean 0, with a ridge `lam`/2 |s|^2 that keeps somebody without a loss finite; g: how much the left
side gains by being left; b: how much style alone moves people. A tie is half a vote for either side. Intervals
come from a bootstrap over prompt groups (votes on one prompt are not independent); every draw is one weighted
refit that starts from the estimate. Ranks are ranges: i stands surely above j when s_i > s_j in 97.5% of draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

LAM = 0.05
STEPS = 60
REFIT_STEPS = 4  # from the estimate a weighted refit moves little: Newton is there in three or four
SURE = 0.975


@dataclass(frozen=True)
class Term:
    """A coefficient with its 95% bootstrap interval; NaN where nothing was estimated."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standings:
    """value, low, high: (m,) log-odds strengths, mean 0; best, worst: (m,) first and last rank that is possible;
    better: (m, m) share of draws in which i is above j; side: the left side's gain; style: a term for each column."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    best: np.ndarray
    worst: np.ndarray
    better: np.ndarray
    side: Term
    style: tuple[Term, ...]

    def win_rate(self, i: int, j: int) -> float:
        """How often i is preferred to j, style and side equal."""
        return float(expit(self.value[i] - self.value[j]))


def fit_standings(
    m: int,
    left: ArrayLike,
    right: ArrayLike,
    outcome: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    style: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    with_side: bool = True,
    lam: float = LAM,
    draws: int = 200,
    seed: int = 0,
) -> Standings:
    """left, right: (n,) player numbers below m; outcome: (n,) 1 left, 0 right, 1/2 tie; style: (n, k) differences.

    Raises ValueError for numbers out of range, somebody who plays against themselves, or no votes at all.
    """
    x = _design(m, np.asarray(left, dtype=int), np.asarray(right, dtype=int), style, with_side)
    y = np.asarray(outcome, dtype=float)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
    if len(y) != len(x) or not len(y):
        raise ValueError("standings need votes, and one outcome a vote")
    ridge = np.concatenate([np.full(m, lam), np.full(x.shape[1] - m, 1e-4)])
    beta = _newton(x, y, w, ridge, np.zeros(x.shape[1]), STEPS)
    again = np.array([_newton(x, y, w * g, ridge, beta, REFIT_STEPS) for g in _resampled(groups, len(y), draws, seed)])
    again = again.reshape(draws, len(beta))
    return _standings(m, _centred(beta, m), _centred(again, m), with_side)


def _design(m: int, left: np.ndarray, right: np.ndarray, style: ArrayLike | None, with_side: bool) -> np.ndarray:
    """(n, m + 1 + k): +1 for the left player, -1 for the right one, the side, and scaled style differences."""
    if len(left) != len(right) or ((left < 0) | (left >= m) | (right < 0) | (right >= m)).any():
        raise ValueError(f"players are numbers from 0 to {m - 1}, as many left as right")
    if (left == right).any():
        raise ValueError("nobody plays against themselves")
    players = np.zeros((len(left), m))
    rows = np.arange(len(left))
    players[rows, left], players[rows, right] = 1.0, -1.0
    columns = [players, np.full((len(left), 1), 1.0 if with_side else 0.0)]
    if style is not None:
        differences = np.asarray(style, dtype=float).reshape(len(left), -1)
        scale = np.sqrt((differences**2).mean(axis=0))
        columns.append(differences / np.where(scale > 1e-12, scale, np.inf))
    return np.hstack(columns)


def _newton(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, ridge: np.ndarray, start: np.ndarray, steps: int
) -> np.ndarray:
    """argmin sum_i w_i BCE(sigmoid(x_i . beta), y_i) + ridge/2 . beta^2, with backtracking."""
    beta = start.copy()

    def loss(b: np.ndarray) -> float:
        z = x @ b
        return float(w @ (np.logaddexp(0, z) - y * z) + 0.5 * ridge @ b**2)

    now = loss(beta)
    for _ in range(steps):
        p = expit(x @ beta)
        gradient = x.T @ (w * (p - y)) + ridge * beta
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (then := loss(beta - size * step)) > now and size > 1e-6:
            size /= 2
        beta, now = beta - size * step, min(now, then)
        if np.abs(step).max() < 1e-9:
            break
    return beta


def _resampled(groups: ArrayLike | None, n: int, draws: int, seed: int) -> np.ndarray:
    """(draws, n) how often each row's group was drawn, groups with replacement."""
    names = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(names.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return drawn[:, names].astype(float)


def _centred(beta: np.ndarray, m: int) -> np.ndarray:
    """Strengths with mean 0; only their differences mean anything."""
    out = beta.copy()
    out[..., :m] -= out[..., :m].mean(axis=-1, keepdims=True)
    return out


def _standings(m: int, beta: np.ndarray, again: np.ndarray, with_side: bool) -> Standings:
    if len(again):
        low, high = np.percentile(again, [2.5, 97.5], axis=0)
        better = (again[:, :m, None] > again[:, None, :m]).mean(axis=0)
    else:
        low = high = np.full(len(beta), np.nan)
        better = np.full((m, m), 0.5)
    surely = better >= SURE
    terms = tuple(Term(float(beta[i]), float(low[i]), float(high[i])) for i in range(m, len(beta)))
    side = terms[0] if with_side else Term(*[float("nan")] * 3)
    return Standings(
        beta[:m], low[:m], high[:m], best=1 + surely.sum(axis=0), worst=m - surely.sum(axis=1), better=better,
        side=side, style=terms[1:],
    )  # fmt: skip
