"""Deciding from votes, valid whenever you look: x_t in {0, 1/2, 1} is one blind vote for the candidate.

One rule is fixed before the first vote (offering several and taking the best breaks alpha), and votes
are consumed in the order in which their items were drawn, waiting for open ones; both are the
caller's duty. H0: E[x] <= m0 (1/2; for non-inferiority 1/2 - margin).

    sprt      L_t = sum log(p1/m0) for a win, log((1-p1)/(1-m0)) for a loss, the mean of the two for a half.
              Promote at L >= ln((1-beta)/alpha), refuse at L <= ln(beta/(1-alpha)).        (Wald 1945)
              A half multiplies the ratio by the geometric mean of the two factors, at most the arithmetic
              mean; the straight line through the two factors is 1 + c(x - m0), c > 0. So each factor is
              <= 1 + c(x - m0), and exp(L) is a supermartingale under H0, halves included, at any m0.
    betting   K_t = prod(1 + lam_t (x_t - m0)), lam_t = clip(2(2 p^ - 1), 0, 1.8) at m0 = 1/2 with
              p^ = (S_{t-1} + 1/2)/t, known before vote t. Promote at K >= 1/alpha (Ville).
    mixture   E_n = B(s+1, n-s+1) [1 - I_m0(s+1, n-s+1)] / ((1-m0) m0^s (1-m0)^(n-s)) on the n decisive
              votes with s wins; at m0 = 1/2 this is 2^(n+1) B(.) [1 - I_1/2(.)]. Promote at E >= 1/alpha.
              With ties the decisive share is <= m0 whenever E[x] <= m0 <= 1/2, so non-inferiority holds too.

Betting and mixture have no futility boundary: a `limit` on the votes refuses in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincc, betaln

from feedback.stats.estimates import exact_interval, wilson

__all__ = ["Rule", "Sequential", "confidence_sequence", "decide", "exact_interval", "log_statistic", "wilson"]

MOST_VOTES = 20_000
Verdict = Literal["promote", "refuse"]


@dataclass(frozen=True)
class Rule:
    """A stopping rule, declared before the first vote.

    p1: the smallest effect worth having (sprt only), beta: the risk of missing it (sprt only),
    limit: refuse when that many votes are used up (None: no limit).
    """

    name: Literal["sprt", "betting", "mixture"] = "sprt"
    alpha: float = 0.05
    beta: float = 0.1
    p1: float = 0.6
    m0: float = 0.5
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.name not in LOG_STATISTICS:
            raise ValueError(f"unknown rule {self.name!r}; known: {', '.join(LOG_STATISTICS)}")
        if not (0 < self.alpha < 1 and 0 < self.beta < 1 and self.alpha + self.beta < 1):
            raise ValueError("alpha and beta must lie between 0 and 1, and below 1 together")
        if not 0 < self.m0 < self.p1 < 1:
            raise ValueError("0 < m0 < p1 < 1 must hold")
        if self.limit is not None and not (type(self.limit) is int and 1 <= self.limit <= MOST_VOTES):
            raise ValueError(f"limit must be a whole number from 1 to {MOST_VOTES}, or null")

    @property
    def upper(self) -> float:
        """The log statistic that promotes."""
        return float(np.log((1 - self.beta if self.name == "sprt" else 1.0) / self.alpha))

    @property
    def lower(self) -> float:
        """The log statistic that refuses; -inf where the rule has no futility boundary."""
        return float(np.log(self.beta / (1 - self.alpha))) if self.name == "sprt" else float("-inf")


@dataclass(frozen=True)
class Sequential:
    """Where a test stands after the votes that it consumed (none after its decision)."""

    rule: Rule
    votes: tuple[float, ...]
    statistic: float
    decided: Verdict | None
    low: float
    high: float

    @property
    def n(self) -> int:
        return len(self.votes)

    @property
    def score(self) -> float:
        """Wins plus half of the ties: the 31 of "31 of 55"."""
        return float(sum(self.votes))

    @property
    def share(self) -> float:
        """Biased upwards once a test has stopped: show [low, high], the confidence sequence, beside it."""
        return self.score / self.n if self.n else float("nan")

    @property
    def used_up(self) -> bool:
        """Refused because the votes ran out, not because the statistic fell to its boundary."""
        return self.decided == "refuse" and self.statistic > self.rule.lower

    def expected_more_votes(self, p: float = 0.6, paths: int = 400, horizon: int = 2000) -> int | None:
        """Votes still to come before a decision if the candidate truly wins a share `p`; 0 once decided.

        Simulated, seeded: the mean if all paths end within `horizon` (a limit ends them), else the median
        (None: half do not).
        """
        if self.decided:
            return 0
        if self.rule.limit is not None:
            horizon = max(1, min(horizon, self.rule.limit - self.n))
        rng = np.random.default_rng(0)
        drawn = (rng.random((paths, horizon)) < p).astype(float)
        path = np.concatenate([np.tile(self.votes, (paths, 1)), drawn], axis=1)
        stopped = stopping_times(self.rule, log_statistic(self.rule, path))
        if np.isfinite(stopped).all():
            return max(1, round(float(stopped.mean()) - self.n))
        middle = float(np.median(stopped))
        return max(1, round(middle - self.n)) if np.isfinite(middle) else None


def decide(rule: Rule, votes: ArrayLike) -> Sequential:
    """Consume votes in order until the rule decides; later votes are not looked at.

    Raises ValueError for a vote other than 0, 1/2 or 1.
    """
    x = _checked(votes)
    path = log_statistic(rule, x)
    stop = stopping_times(rule, path)
    used = x[: int(stop)] if np.isfinite(stop) else x
    statistic = float(path[len(used) - 1]) if len(used) else 0.0
    low, high = confidence_sequence(used, rule.alpha)
    decided: Verdict | None = None
    if np.isfinite(stop):
        decided = "promote" if statistic >= rule.upper else "refuse"
    return Sequential(rule, tuple(used.tolist()), statistic, decided, low, high)


def stopping_times(rule: Rule, path: np.ndarray) -> np.ndarray:
    """(..., n) log statistics -> (...) number of votes at the decision, inf where there is none yet."""
    crossed = (path >= rule.upper) | (path <= rule.lower)
    if rule.limit is not None:
        crossed[..., rule.limit - 1 :] = True
    if crossed.shape[-1] == 0:
        return np.full(crossed.shape[:-1], np.inf)
    return np.where(crossed.any(axis=-1), crossed.argmax(axis=-1) + 1.0, np.inf)


def log_statistic(rule: Rule, votes: np.ndarray) -> np.ndarray:
    """(..., n) votes -> (..., n) log of the rule's statistic after each vote."""
    return LOG_STATISTICS[rule.name](rule, votes)


def confidence_sequence(votes: ArrayLike, alpha: float = 0.05, grid: int = 1001) -> tuple[float, float]:
    """Interval for the mean vote that holds at every moment at once with probability 1 - alpha.

    Hedged betting of Waudby-Smith & Ramdas (2024): { m : max(K+_t(m), K-_t(m))/2 < 1/alpha }, with their
    predictable plug-in bets, on a grid of m; widened by one step of the grid, so never too narrow.
    """
    x = _checked(votes)
    if len(x) == 0:
        return 0.0, 1.0
    m = np.linspace(0, 1, grid)[1:-1, None]
    bets = _plug_in_bets(x, alpha)
    # Bets are cut at half of what could go bankrupt: factors stay above 1/2.
    up = np.log1p(np.minimum(bets, 0.5 / m) * (x - m)).sum(axis=1)
    down = np.log1p(-np.minimum(bets, 0.5 / (1 - m)) * (x - m)).sum(axis=1)
    inside = np.flatnonzero(np.maximum(up, down) - np.log(2) < -np.log(alpha))
    if len(inside) == 0:  # cannot be, short of a mean between two grid points
        return float(x.mean()), float(x.mean())
    return float(inside[0] / (grid - 1)), float((inside[-1] + 2) / (grid - 1))


def _plug_in_bets(x: np.ndarray, alpha: float) -> np.ndarray:
    """lam_t = sqrt(2 ln(2/alpha) / (t ln(t+1) var_{t-1})), with var_t = (1/4 + sum (x - mean)^2)/(t + 1)."""
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log(t + 1)))


def _sprt(rule: Rule, x: np.ndarray) -> np.ndarray:
    win, loss = np.log(rule.p1 / rule.m0), np.log((1 - rule.p1) / (1 - rule.m0))
    return np.cumsum(x * win + (1 - x) * loss, axis=-1)


def _betting(rule: Rule, x: np.ndarray) -> np.ndarray:
    t = np.arange(1, x.shape[-1] + 1)
    p_hat = (np.cumsum(x, axis=-1) - x + 0.5) / t  # S_{t-1}: this vote is taken off again
    # The growth-optimal bet on a coin, (p - m0)/(m0 (1 - m0)), cut at 0.9 of ruin; at 1/2: 2(2p - 1), 1.8.
    lam = np.clip((p_hat - rule.m0) / (rule.m0 * (1 - rule.m0)), 0, 0.9 / rule.m0)
    return np.cumsum(np.log1p(lam * (x - rule.m0)), axis=-1)


def _mixture(rule: Rule, x: np.ndarray) -> np.ndarray:
    wins, losses = np.cumsum(x == 1, axis=-1), np.cumsum(x == 0, axis=-1)
    # betaincc is slow and paths share their counts: once for each pair of wins and losses.
    base = x.shape[-1] + 1
    pairs, where = np.unique(wins * base + losses, return_inverse=True)
    with np.errstate(divide="ignore"):  # a hopeless candidate: log 0 = -inf is meant
        tail = np.log(betaincc(pairs // base + 1.0, pairs % base + 1.0, rule.m0))[where].reshape(wins.shape)
    null = wins * np.log(rule.m0) + losses * np.log1p(-rule.m0)
    return betaln(wins + 1, losses + 1) + tail - np.log1p(-rule.m0) - null


LOG_STATISTICS = {"sprt": _sprt, "betting": _betting, "mixture": _mixture}


def _checked(votes: ArrayLike) -> np.ndarray:
    x = np.asarray(votes, dtype=float)
    if x.ndim != 1 or not np.isin(x, (0.0, 0.5, 1.0)).all():
        raise ValueError("votes must be a list of 0, 1/2 or 1")
    return x
