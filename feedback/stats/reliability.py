"""Whose votes carry how much: reliability and left/right habit of each annotator, jointly with the reward.

    P(k says a over b) = eta_k sigma(D + b_k l) + (1 - eta_k) sigma(-D - b_k l)

D: log odds of a over b; l = +1 where a was shown left, -1 where right; eta_k: the share of k's votes that
come out the right way round (.5 tosses a coin, below it an adversary); b_k: k's habit of the left side.

    E  c_i = eta s / (eta s + (1 - eta)(1 - s)),  s = sigma of (D + b l) towards the vote
    M  theta <- logistic fit of D = theta . d with target c towards the vote; b_k likewise;
       eta_k <- (sum c_i + 8) / (n_k + 10)

Each round raises the penalised likelihood `objective`. Differing from others is no offence: this weighs
votes, it never pauses anybody. Ties (1/2) inform theta and say nothing about eta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from feedback.stats.heads import Head, fit_head

PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0
BIAS_PRECISION = 4.0  # b_k ~ N(0, 1/2^2)


@dataclass(frozen=True)
class Votes:
    """n votes: annotator (n,) numbers from 0, vote (n,) in {0, 1/2, 1} for a, side (n,) +1 a left, -1 a right."""

    annotator: np.ndarray
    vote: np.ndarray
    side: np.ndarray

    @classmethod
    def of(cls, annotator: ArrayLike, vote: ArrayLike, side: ArrayLike) -> Votes:
        """Raises ValueError for shapes that differ or values other than these."""
        who, what, where = np.asarray(annotator), np.asarray(vote, dtype=float), np.asarray(side, dtype=float)
        if not who.shape == what.shape == where.shape or who.ndim != 1:
            raise ValueError(f"shapes do not agree: {who.shape}, {what.shape}, {where.shape}")
        if not np.isin(what, (0.0, 0.5, 1.0)).all() or not np.isin(where, (-1.0, 1.0)).all():
            raise ValueError("votes are 0, 1/2 or 1, sides -1 or 1")
        return cls(who.astype(int), what, where)

    @property
    def people(self) -> int:
        return int(self.annotator.max()) + 1 if len(self.annotator) else 0

    @property
    def decisive(self) -> np.ndarray:
        return self.vote != 0.5


@dataclass(frozen=True)
class Reliability:
    """eta, bias, n (decisive votes) by annotator; target (n,): each vote's probability that a is better."""

    eta: np.ndarray
    bias: np.ndarray
    n: np.ndarray
    target: np.ndarray
    head: Head | None


def fit_reliability(
    votes: Votes,
    *,
    differences: ArrayLike | None = None,
    log_odds: ArrayLike | None = None,
    lam: float = 1.0,
    rounds: int = 200,
) -> Reliability:
    """EM from differences (n, F), learning the reward as well, or from log odds (n,) known otherwise.

    Log odds should come from cross-fitting: a reward that has seen a vote finds it right. ValueError
    unless exactly one of the two is given.
    """
    if (differences is None) == (log_odds is None):
        raise ValueError("give either differences or log_odds")
    d = None if differences is None else np.asarray(differences, dtype=float)
    head, given = None, np.zeros(len(votes.vote)) if log_odds is None else np.asarray(log_odds, dtype=float)
    eta, bias = np.full(votes.people, 0.8), np.zeros(votes.people)
    target = np.where(votes.decisive, 0.2 + 0.6 * votes.vote, 0.5)
    for _ in range(rounds):
        habit = bias[votes.annotator] * votes.side
        if d is not None:
            head = fit_head(d, target, lam=lam, offset=habit)
            given = head.rewards(d)
        bias = _bias(votes, given, target, bias)
        honest = _honest(votes, given + bias[votes.annotator] * votes.side, eta)
        new = _eta(votes, honest)
        moved = float(np.abs(new - eta).max(initial=0.0))
        eta, target = new, np.where(votes.vote == 1, honest, np.where(votes.vote == 0, 1 - honest, 0.5))
        if moved < 1e-6:
            break
    n = np.bincount(votes.annotator[votes.decisive], minlength=votes.people)
    return Reliability(eta, bias, n, target, head)


def objective(votes: Votes, log_odds: np.ndarray, eta: np.ndarray, bias: np.ndarray) -> float:
    """Penalised log likelihood of the votes given D = `log_odds`; the penalty on theta is the caller's."""
    p = expit(log_odds + bias[votes.annotator] * votes.side)
    share = eta[votes.annotator] * p + (1 - eta[votes.annotator]) * (1 - p)
    decisive = np.where(votes.vote == 1, np.log(share), np.log1p(-share))
    tied = 0.5 * (np.log(p) + np.log1p(-p))
    prior = PRIOR_RIGHT * np.log(eta) + PRIOR_WRONG * np.log1p(-eta) - BIAS_PRECISION / 2 * bias**2
    return float(np.where(votes.decisive, decisive, tied).sum() + prior.sum())


def _honest(votes: Votes, log_odds: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """(n,) probability that a vote came out the right way round."""
    s = expit(np.where(votes.vote == 1, log_odds, -log_odds))
    right = eta[votes.annotator] * s
    return right / (right + (1 - eta[votes.annotator]) * (1 - s))


def _eta(votes: Votes, honest: np.ndarray) -> np.ndarray:
    who = votes.annotator[votes.decisive]
    right = np.bincount(who, weights=honest[votes.decisive], minlength=votes.people)
    n = np.bincount(who, minlength=votes.people)
    return (right + PRIOR_RIGHT) / (n + PRIOR_RIGHT + PRIOR_WRONG)


def _bias(votes: Votes, log_odds: np.ndarray, target: np.ndarray, bias: np.ndarray, steps: int = 5) -> np.ndarray:
    """(people,) habits: Newton on each one's logistic loss, steps cut at 1."""
    for _ in range(steps):
        p = expit(log_odds + bias[votes.annotator] * votes.side)
        pull = np.bincount(votes.annotator, weights=(target - p) * votes.side, minlength=votes.people)
        curvature = np.bincount(votes.annotator, weights=p * (1 - p), minlength=votes.people) + BIAS_PRECISION
        bias = bias + np.clip((pull - BIAS_PRECISION * bias) / curvature, -1, 1)
    return bias
