"""From several people's votes on a pair to the probability that `a` is better. Pure; n votes on m pairs.

A vote: pair (n,) numbers from 0, person (n,) numbers from 0, outcome (n,) 0 = a, 1 = b, 2 = tie. Pairs
without a vote get 1/2. "Both bad" is no vote about which is better and is left out before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

A, B, TIE = 0, 1, 2
PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0  # Beta(8, 2) on the share of a person's votes that come out right


def share(pair: np.ndarray, outcome: np.ndarray, m: int, weight: np.ndarray | None = None) -> np.ndarray:
    """(m,) share of the votes for a, ties counted half."""
    w = np.ones(len(pair)) if weight is None else weight
    points = np.where(outcome == A, 1.0, np.where(outcome == TIE, 0.5, 0.0))
    total = np.bincount(pair, weights=w, minlength=m)
    won = np.bincount(pair, weights=w * points, minlength=m)
    return np.divide(won, total, out=np.full(m, 0.5), where=total > 0)


def majority(pair: np.ndarray, outcome: np.ndarray, m: int) -> np.ndarray:
    """(m,) 1 where more votes say a than b, 0 where fewer, 1/2 where as many; ties favour nobody."""
    net = np.bincount(pair[outcome == A], minlength=m) - np.bincount(pair[outcome == B], minlength=m)
    return (np.sign(net) + 1) / 2


def dawid_skene(
    pair: np.ndarray, person: np.ndarray, outcome: np.ndarray, m: int, rounds: int = 100, tolerance: float = 1e-5
) -> np.ndarray:
    """(m, 3) posterior of the true class (a, b, tie) of each pair, after Dawid and Skene (1979).

    EM from majority shares. M: class priors and each person's confusion matrix (truth x said); E: the
    product of the said columns. Stops when the mean log likelihood moves less than `tolerance`.
    """
    people = int(person.max()) + 1 if len(person) else 0
    posterior = np.zeros((m, 3))
    np.add.at(posterior, (pair, outcome), 1.0)
    posterior = _rows_to_one(posterior)
    before = -np.inf
    for _ in range(rounds):
        prior = posterior.mean(axis=0)
        confusion = np.zeros((people, 3, 3))  # person, said, truth
        np.add.at(confusion, (person, outcome), posterior[pair])
        confusion /= np.maximum(confusion.sum(axis=1, keepdims=True), 1e-10)
        seen = np.log(np.maximum(confusion, 1e-10))[person, outcome]
        logs = np.stack([np.bincount(pair, weights=seen[:, c], minlength=m) for c in range(3)], axis=1)
        logs += np.log(np.maximum(prior, 1e-10))
        top = logs.max(axis=1, keepdims=True)
        likelihood = float((top[:, 0] + np.log(np.exp(logs - top).sum(axis=1))).mean()) if m else 0.0
        posterior = _rows_to_one(np.exp(logs - top))
        if likelihood - before < tolerance:
            break
        before = likelihood
    return posterior


def _rows_to_one(table: np.ndarray) -> np.ndarray:
    total = table.sum(axis=1, keepdims=True)
    return np.divide(table, total, out=np.full(table.shape, 1 / table.shape[1]), where=total > 0)


@dataclass(frozen=True)
class NoisyBradleyTerry:
    """strength (players,), eta (people,) share of votes that come out right, probability (m,) that a is better."""

    strength: np.ndarray
    eta: np.ndarray
    probability: np.ndarray


def noisy_bradley_terry(
    pair: np.ndarray,
    person: np.ndarray,
    outcome: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    weight: np.ndarray | None = None,
    lam: float = 0.25,
    rounds: int = 100,
    tolerance: float = 1e-6,
) -> NoisyBradleyTerry:
    """Strengths of the answers and reliabilities of the people, jointly, by EM.

        P(k says a) = eta_k s + (1 - eta_k)(1 - s),  s = sigma(strength_a - strength_b)
        E  c_i = eta s / (eta s + (1 - eta)(1 - s)),  s towards the vote
        M  strength <- one damped Newton step on the logistic fit with target c, ridge `lam`
           eta_k    <- (sum c_i + 8) / (n_k + 10)

    a, b (m,): the answers of each pair, numbers from 0. A tie is a target of 1/2 and says nothing of eta.
    Each M step raises `log_posterior` or leaves it.
    """
    players = int(max(a.max(), b.max())) + 1 if len(a) else 0
    people = int(person.max()) + 1 if len(person) else 0
    w = np.ones(len(pair)) if weight is None else weight
    votes = Ballots(a[pair], b[pair], person, outcome, w)
    strength, eta = np.zeros(players), np.full(people, 0.8)
    before = log_posterior(strength, eta, votes, lam)
    for _ in range(rounds):
        right = _right(strength, eta, votes)
        target = np.where(outcome == A, right, np.where(outcome == B, 1 - right, 0.5))
        strength = _climb(strength, target, votes, lam)
        eta = _reliability(_right(strength, eta, votes), votes, people)
        now = log_posterior(strength, eta, votes, lam)
        if now - before < tolerance * max(1.0, abs(now)):
            break
        before = now
    return NoisyBradleyTerry(strength, eta, expit(strength[a] - strength[b]))


@dataclass(frozen=True)
class Ballots:
    """(n,) each: the two answers voted on, who voted, what, and with what weight."""

    a: np.ndarray
    b: np.ndarray
    person: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray


def log_posterior(strength: np.ndarray, eta: np.ndarray, votes: Ballots, lam: float) -> float:
    """log P(votes, strength, eta) up to a constant: what the EM climbs."""
    s = expit(strength[votes.a] - strength[votes.b])
    says_a = eta[votes.person] * s + (1 - eta[votes.person]) * (1 - s)
    tied = 0.5 * (np.log(s) + np.log1p(-s))
    each = np.where(votes.outcome == A, np.log(says_a), np.where(votes.outcome == B, np.log1p(-says_a), tied))
    prior = (PRIOR_RIGHT * np.log(eta) + PRIOR_WRONG * np.log1p(-eta)).sum() - lam / 2 * strength @ strength
    return float(votes.weight @ each + prior)


def gradient(strength: np.ndarray, eta: np.ndarray, votes: Ballots, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """d log_posterior / d strength and / d eta.

    By Fisher's identity the gradient in strength is that of the E step's expectation: target - sigma.
    """
    right = _right(strength, eta, votes)
    target = np.where(votes.outcome == A, right, np.where(votes.outcome == B, 1 - right, 0.5))
    by_strength = _pull(strength, target, votes, lam)
    said = votes.outcome != TIE
    sure = np.where(said, votes.weight * right, 0.0)
    wrong = np.where(said, votes.weight * (1 - right), 0.0)
    up = np.bincount(votes.person, weights=sure, minlength=len(eta)) + PRIOR_RIGHT
    down = np.bincount(votes.person, weights=wrong, minlength=len(eta)) + PRIOR_WRONG
    return by_strength, up / eta - down / (1 - eta)


def _right(strength: np.ndarray, eta: np.ndarray, votes: Ballots) -> np.ndarray:
    """(n,) probability that each decisive vote came out the right way round."""
    gap = strength[votes.a] - strength[votes.b]
    s = expit(np.where(votes.outcome == B, -gap, gap))
    e = eta[votes.person]
    return e * s / (e * s + (1 - e) * (1 - s))


def _pull(strength: np.ndarray, target: np.ndarray, votes: Ballots, lam: float) -> np.ndarray:
    rest = votes.weight * (target - expit(strength[votes.a] - strength[votes.b]))
    n = len(strength)
    won, lost = (np.bincount(side, weights=rest, minlength=n) for side in (votes.a, votes.b))
    return won - lost - lam * strength


def _climb(strength: np.ndarray, target: np.ndarray, votes: Ballots, lam: float) -> np.ndarray:
    """One step against a bound of the curvature (2x the diagonal holds the coupling of two answers): never down."""
    curve = votes.weight * 0.25
    n = len(strength)
    bound = 2 * (np.bincount(votes.a, weights=curve, minlength=n) + np.bincount(votes.b, weights=curve, minlength=n))
    return strength + _pull(strength, target, votes, lam) / (bound + lam)


def _reliability(right: np.ndarray, votes: Ballots, people: int) -> np.ndarray:
    said = votes.outcome != TIE
    sure = np.bincount(votes.person[said], weights=(votes.weight * right)[said], minlength=people)
    n = np.bincount(votes.person[said], weights=votes.weight[said], minlength=people)
    return (sure + PRIOR_RIGHT) / (n + PRIOR_RIGHT + PRIOR_WRONG)
