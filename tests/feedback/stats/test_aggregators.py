from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import BradleyTerry, DawidSkene, MajorityVote
from scipy.special import expit

from feedback.stats.aggregators import (
    TIE,
    A,
    B,
    Ballots,
    dawid_skene,
    gradient,
    log_posterior,
    majority,
    noisy_bradley_terry,
    share,
)


def crowd(seed: int = 0, pairs: int = 300, votes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(pair, person, outcome, truth): nine people; three honest, three right in 7 of 10, two coins, one adversary."""
    rng = np.random.default_rng(seed)
    skill = np.array([0.97, 0.97, 0.97, 0.7, 0.7, 0.7, 0.5, 0.5, 0.1])
    truth = rng.integers(0, 2, pairs)
    pair = np.repeat(np.arange(pairs), votes)
    person = np.concatenate([rng.permutation(9)[:votes] for _ in range(pairs)])
    right = rng.random(len(pair)) < skill[person]
    return pair, person, np.where(right, truth[pair], 1 - truth[pair]), truth


def frame(pair: np.ndarray, person: np.ndarray, outcome: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"task": pair, "worker": person, "label": outcome})


def test_share_counts_ties_half_and_a_pair_without_votes_is_one_half() -> None:
    pair, outcome = np.array([0, 0, 0, 0, 1]), np.array([A, A, B, TIE, B])
    assert share(pair, outcome, 3).tolist() == [2.5 / 4, 0.0, 0.5]
    assert share(pair, outcome, 3, weight=np.array([2, 1, 1, 0, 1.0])).tolist() == [0.75, 0.0, 0.5]


def test_majority_knows_three_answers() -> None:
    pair, outcome = np.array([0, 0, 0, 1, 1, 2, 2, 2]), np.array([A, A, B, A, B, B, TIE, TIE])
    assert majority(pair, outcome, 4).tolist() == [1.0, 0.5, 0.0, 0.5]


def test_majority_is_crowd_kits() -> None:
    pair, person, outcome, _ = crowd()
    theirs = MajorityVote().fit_predict(frame(pair, person, outcome))
    assert (majority(pair, outcome, 300) == np.where(theirs.sort_index() == A, 1.0, 0.0)).all()


def test_dawid_skene_is_crowd_kits() -> None:
    pair, person, outcome, _ = crowd()
    theirs = DawidSkene(n_iter=15, tol=-1).fit_predict_proba(frame(pair, person, outcome)).sort_index()
    ours = dawid_skene(pair, person, outcome, 300, rounds=15, tolerance=-1)
    assert np.abs(ours[:, A] - theirs[A].to_numpy()).max() < 1e-9


def test_dawid_skene_by_hand() -> None:
    """One round: two people agree on pair 0, differ on pair 1.

    Start: pair 0 = (1, 0), pair 1 = (1/2, 1/2); prior (3/4, 1/4). Person 0 said a, a: says a whatever the truth
    (a: 1.5 of 1.5; b: .5 of .5). Person 1 said a, b: given a says a with 1/1.5, given b says b with .5/.5.
    Pair 1: a: .75 * 1 * 1/3 = .25; b: .25 * 1 * 1 = .25.
    """
    posterior = dawid_skene(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([A, A, A, B]), 2, rounds=1)
    assert posterior[1] == pytest.approx([0.5, 0.5, 0.0], abs=1e-9)
    assert posterior[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)  # given b, person 1 never says a


def test_reliability_aware_methods_beat_the_majority_where_people_differ() -> None:
    pair, person, outcome, truth = crowd(pairs=1000, votes=3)
    a, b = np.arange(1000) * 2, np.arange(1000) * 2 + 1

    def right(p: np.ndarray) -> float:
        return float(((p > 0.5) == (truth == A)).mean())

    plain = right(majority(pair, outcome, 1000))
    posterior = dawid_skene(pair, person, outcome, 1000)
    fit = noisy_bradley_terry(pair, person, outcome, a, b)
    assert right(posterior[:, A]) > plain + 0.03
    assert right(fit.probability) > plain + 0.03
    assert fit.eta[8] < 0.2 and fit.eta[:3].min() > 0.9


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(3)
    n, players, people, lam = 60, 7, 4, 0.3
    a = rng.integers(0, players, n)
    votes = Ballots(a, (a + rng.integers(1, players, n)) % players, rng.integers(0, people, n),
                    rng.integers(0, 3, n), rng.uniform(0.3, 1, n))  # fmt: skip
    strength, eta = rng.normal(size=players), rng.uniform(0.4, 0.9, people)
    by_strength, by_eta = gradient(strength, eta, votes, lam)
    h = 1e-6
    for i in range(players):
        step = np.eye(players)[i] * h
        difference = log_posterior(strength + step, eta, votes, lam) - log_posterior(strength - step, eta, votes, lam)
        assert by_strength[i] == pytest.approx(difference / (2 * h), rel=1e-5, abs=1e-6)
    for k in range(people):
        step = np.eye(people)[k] * h
        difference = log_posterior(strength, eta + step, votes, lam) - log_posterior(strength, eta - step, votes, lam)
        assert by_eta[k] == pytest.approx(difference / (2 * h), rel=1e-5, abs=1e-5)


def test_the_em_ends_where_the_gradient_is_nothing() -> None:
    pair, person, outcome, _ = crowd(pairs=80)
    a, b = np.arange(80) * 2, np.arange(80) * 2 + 1
    fit = noisy_bradley_terry(pair, person, outcome, a, b, rounds=20_000, tolerance=1e-15)
    votes = Ballots(a[pair], b[pair], person, outcome, np.ones(len(pair)))
    by_strength, by_eta = gradient(fit.strength, fit.eta, votes, 0.25)
    assert np.abs(by_strength).max() < 1e-3 and np.abs(by_eta).max() < 0.05


def test_every_round_climbs() -> None:
    pair, person, outcome, _ = crowd(pairs=50)
    a, b = np.arange(50) % 20, np.arange(50) % 20 + 20
    votes = Ballots(a[pair], b[pair], person, outcome, np.ones(len(pair)))
    heights = []
    for rounds in range(1, 12):
        fit = noisy_bradley_terry(pair, person, outcome, a, b, rounds=rounds, tolerance=0)
        heights.append(log_posterior(fit.strength, fit.eta, votes, 0.25))
    assert all(later >= earlier for earlier, later in zip(heights, heights[1:], strict=False))


def test_with_perfect_people_it_orders_as_bradley_terry_and_as_crowd_kit() -> None:
    """Twelve players of known strength, everybody honest: the same ranking, and strengths on a line."""
    rng = np.random.default_rng(5)
    strength = np.linspace(-2, 2, 12)
    a = rng.integers(0, 12, 6000)
    b = (a + rng.integers(1, 12, 6000)) % 12
    outcome = np.where(rng.random(6000) < expit(strength[a] - strength[b]), A, B)
    fit = noisy_bradley_terry(np.arange(6000), rng.integers(0, 40, 6000), outcome, a, b, lam=0.01, rounds=500)
    table = pd.DataFrame({"left": a, "right": b, "label": np.where(outcome == A, a, b), "worker": 0})
    theirs = BradleyTerry(n_iter=200).fit_predict(table).sort_index()
    assert np.corrcoef(fit.strength, np.log(theirs.to_numpy()))[0, 1] > 0.98
    assert np.corrcoef(fit.strength, strength)[0, 1] > 0.98


def test_a_tie_pulls_to_one_half_and_says_nothing_about_the_person() -> None:
    fit = noisy_bradley_terry(np.array([0]), np.array([0]), np.array([TIE]), np.array([0]), np.array([1]))
    assert fit.probability.tolist() == [0.5] and fit.eta.tolist() == [0.8]
