"""Bradley-Terry strengths from a table of wins: P(i beats j) = s_i / (s_i + s_j).

Newman's iteration (2023), which has the fixed point of Zermelo's and Hunter's MM in far fewer steps:

    s_i <- (sum_j w_ij s_j/(s_i + s_j) + a/(s_i + 1)) / (sum_j w_ji/(s_i + s_j) + a/(s_i + 1))

with w_ij the wins of i over j, and a prior of `a` wins and `a` losses against an opponent of strength 1:
it keeps players without a loss finite and joins tables that fall apart into islands. A tie is half a
win for each side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

TINY = 1e-300  # a player who met nobody, without a prior: 0/0 becomes strength 1


class Strengths(NamedTuple):
    """(m,) log strengths with mean 0, and their 95% bootstrap interval. low/high are NaN without draws."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def win_probability(self, i: int, j: int) -> float:
        return float(1 / (1 + np.exp(self.value[j] - self.value[i])))


def win_table(m: int, winners: ArrayLike, losers: ArrayLike, ties: ArrayLike | None = None) -> np.ndarray:
    """(m, m) table from (n,) player numbers; where `ties` is true the row counts half each way."""
    first, second = np.asarray(winners, dtype=int), np.asarray(losers, dtype=int)
    tie = np.zeros(len(first), bool) if ties is None else np.asarray(ties, dtype=bool)
    table = np.zeros((m, m))
    np.add.at(table, (first, second), np.where(tie, 0.5, 1.0))
    np.add.at(table, (second, first), np.where(tie, 0.5, 0.0))
    return table


def bradley_terry(wins: ArrayLike, prior: float = 0.1, draws: int = 0, seed: int = 0) -> Strengths:
    """Strengths from wins[i, j] = how often i beat j (halves for ties), with a multinomial bootstrap.

    Raises ValueError for a table that is not square, negative, or filled on its diagonal.
    """
    table = np.asarray(wins, dtype=float)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"a table of wins is square, not {table.shape}")
    if (table < 0).any() or np.diag(table).any():
        raise ValueError("wins are counts, and nobody plays against themselves")
    value = fit_strengths(table[None], prior)[0]
    if draws == 0 or table.sum() == 0:
        unknown = np.full(len(table), np.nan)
        return Strengths(value, unknown, unknown)
    total = table.sum()
    shares = (table / total).ravel()
    again = np.random.default_rng(seed).multinomial(round(total), shares, draws).reshape(-1, *table.shape)
    low, high = np.percentile(fit_strengths(again.astype(float), prior), [2.5, 97.5], axis=0)
    return Strengths(value, low, high)


def fit_strengths(tables: np.ndarray, prior: float, tolerance: float = 1e-6, limit: int = 10_000) -> np.ndarray:
    """(b, m, m) tables -> (b, m) log strengths with mean 0, all tables at once."""
    lost = tables.transpose(0, 2, 1)
    log = np.zeros(tables.shape[:2])
    for _ in range(limit):
        strength = np.exp(log)
        shared = 1 / (strength[:, :, None] + strength[:, None, :])
        anchor = prior / (strength + 1)
        gained = ((tables * shared) @ strength[:, :, None])[:, :, 0] + anchor
        given = (lost * shared).sum(axis=2) + anchor
        # Half way in logs: all players moving at once would swing for ever (two players do).
        new = _anchored((log + np.log(gained + TINY) - np.log(given + TINY)) / 2, prior)
        moved, log = np.abs(new - log).max(), new
        if moved < tolerance:
            break
    return log - log.mean(axis=1, keepdims=True)


def _anchored(log: np.ndarray, prior: float) -> np.ndarray:
    """Move all strengths together to where the prior has its maximum: alone they creep there for ever."""
    if prior == 0:
        return log - log.mean(axis=1, keepdims=True)
    p = expit(log)
    return log - (p - 0.5).sum(axis=1, keepdims=True) / (p * (1 - p)).sum(axis=1, keepdims=True)
