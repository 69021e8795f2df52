"""The reward head: its minimum, its posterior, and the cross-fitted figures."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from feedback.formats.base import ParsedPair
from feedback.formats.hh import read_hh
from feedback.stats.heads import Head, Standardiser, accuracy, choose_lam, cross_fit, fit_head
from feedback.stats.style import style_matrix


def planted(n: int, width: int, seed: int = 0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, F) differences, votes in {0, 1}, and the theta that cast them."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=width) * scale / np.sqrt(width)
    d = rng.normal(size=(n, width)) * 1.4
    return d, (rng.random(n) < expit(d @ theta)).astype(float), theta


def test_one_win_has_the_hand_derived_minimum() -> None:
    """d = 1, q = 1, lam = 1: the gradient sigmoid(t) - 1 + t vanishes at t = .4011; H = p(1-p) + 1."""
    root = brentq(lambda t: expit(t) - 1 + t, 0, 1)
    head = fit_head([[1.0]], [1.0], lam=1.0)
    assert root == pytest.approx(0.4011, abs=1e-4)
    assert head.theta[0] == pytest.approx(root)
    assert head.chol[0, 0] ** 2 == pytest.approx(expit(root) * (1 - expit(root)) + 1)


def test_a_tie_pulls_nowhere() -> None:
    assert fit_head([[1.0, 2.0]] * 3, [0.5] * 3).theta == pytest.approx(np.zeros(2))


def test_weight_two_is_the_same_row_twice() -> None:
    d, q, _ = planted(30, 4)
    twice = fit_head(np.vstack([d, d]), np.concatenate([q, q]), lam=2.0)
    assert fit_head(d, q, np.full(30, 2.0), lam=2.0).theta == pytest.approx(twice.theta)


def test_separable_rows_converge() -> None:
    """Plain Newton overshoots here; the gradient at our answer is nought."""
    d = np.array([[30.0, 1.0], [25.0, -1.0], [-40.0, 0.5]])
    head = fit_head(d, [1, 1, 0], lam=1e-4)
    gradient = d.T @ (expit(d @ head.theta) - [1, 1, 0]) + 1e-4 * head.theta
    assert np.abs(gradient).max() < 1e-5


def test_more_features_than_rows_gives_the_same_minimum_and_posterior() -> None:
    """The solution in the span of 12 rows equals the full 40-dimensional one, H included."""
    d, q, _ = planted(12, 40)
    head = fit_head(d, q, lam=3.0)
    p = expit(d @ head.theta)
    assert head.basis is not None
    assert d.T @ (p - q) + 3.0 * head.theta == pytest.approx(np.zeros(40), abs=1e-6)
    covariance = np.linalg.inv((d * (p * (1 - p))[:, None]).T @ d + 3.0 * np.eye(40))
    drawn = np.cov(head.draws(60_000, 0).T)
    assert np.abs(drawn - covariance).max() < 0.02


def test_draws_have_the_laplace_covariance() -> None:
    d, q, _ = planted(50, 3)
    head = fit_head(d, q, lam=1.0)
    draws = head.draws(60_000, 0)
    assert draws.mean(axis=0) == pytest.approx(head.theta, abs=0.01)
    assert np.cov(draws.T) == pytest.approx(np.linalg.inv(head.chol @ head.chol.T), abs=0.01)


def test_draws_repeat_with_their_seed() -> None:
    head = fit_head(*planted(10, 20)[:2])
    assert (head.draws(4, 7) == head.draws(4, 7)).all()
    assert (head.draws(4, 7) != head.draws(4, 8)).any()


def test_no_rows_give_the_prior() -> None:
    head = fit_head(np.zeros((0, 5)), [], lam=4.0)
    assert head.theta == pytest.approx(np.zeros(5))
    assert head.draws(20_000, 0).std() == pytest.approx(0.5, abs=0.01)


def test_swapping_the_sides_swaps_the_answer() -> None:
    d, q, _ = planted(40, 6)
    assert fit_head(-d, 1 - q).theta == pytest.approx(fit_head(d, q).theta)


def test_a_head_survives_npz() -> None:
    d, q, _ = planted(8, 30)
    head, scaler, file = fit_head(d, q, lam=2.0), Standardiser.fit(d), io.BytesIO()
    np.savez(file, **head.to_arrays(), **scaler.to_arrays())
    file.seek(0)
    arrays = np.load(file)
    again = Head.from_arrays(arrays)
    assert (again.rewards(d) == head.rewards(d)).all()
    assert (again.draws(3, 1) == head.draws(3, 1)).all()
    assert (Standardiser.from_arrays(arrays).apply(d) == scaler.apply(d)).all()


def test_a_constant_column_becomes_nought() -> None:
    phi = np.array([[1.0, 7.0], [3.0, 7.0]])
    scaled = Standardiser.fit(phi).apply(np.vstack([phi, [[2.0, 99.0]]]))
    assert scaled.tolist() == [[-1, 0], [1, 0], [0, 0]]


def test_cross_fit_never_sees_a_rows_own_group() -> None:
    """Ten copies of a prompt would be learnt by heart; held out as a group they say nothing."""
    rng = np.random.default_rng(4)
    d = np.repeat(rng.normal(size=(60, 200)), 10, axis=0)
    q = np.repeat((rng.random(60) < 0.5).astype(float), 10)
    groups = np.repeat([f"prompt-{i}" for i in range(60)], 10)
    by_row = accuracy(cross_fit(d, q, groups=None), q).value
    by_group = accuracy(cross_fit(d, q, groups=groups), q, groups)
    assert by_row > 0.95
    assert by_group.low < 0.5 < by_group.high


def test_cross_fit_does_not_depend_on_the_order_of_rows() -> None:
    d, q, _ = planted(60, 5)
    groups = np.array([f"g{i % 20}" for i in range(60)])
    order = np.random.default_rng(0).permutation(60)
    straight = cross_fit(d, q, groups=groups)
    assert cross_fit(d[order], q[order], groups=groups[order]) == pytest.approx(straight[order])


def test_one_group_cannot_be_cross_fitted() -> None:
    d, q, _ = planted(6, 2)
    assert (cross_fit(d, q, groups=["same"] * 6) == 0.5).all()


def test_cross_fit_finds_a_planted_reward() -> None:
    d, q, theta = planted(1500, 20, scale=2.0)
    best = accuracy(expit(d @ theta), q).value
    assert accuracy(cross_fit(d, q, lam=5.0), q).value == pytest.approx(best, abs=0.02)


def test_lam_is_chosen_large_for_noise_and_small_for_signal() -> None:
    d, q, _ = planted(300, 40, scale=6.0)
    coins = (np.random.default_rng(5).random(300) < 0.5).astype(float)
    assert choose_lam(d, coins) == 1000
    assert choose_lam(d, q) <= 10


@pytest.mark.parametrize(
    ("d", "q", "lam"),
    [
        ([[1.0]], [1.0, 0.0], 1),
        ([[1.0]], [1.5], 1),
        ([[np.nan]], [1.0], 1),
        ([[1.0]], [1.0], 0),
        ([1.0], [1.0], 1),
    ],
)
def test_bad_input_is_refused(d: list, q: list, lam: float) -> None:
    with pytest.raises(ValueError, match=r"shapes|targets|finite|lam"):
        fit_head(d, q, lam=lam)


def test_style_alone_predicts_real_people_in_about_59_percent(test_data: Path) -> None:
    """1,176 real pairs, cross-fitted by prompt: better than a coin, far from the .63 of hidden states."""
    pairs = [found for found in read_hh(test_data / "hh_harmless_dev.jsonl.gz") if isinstance(found, ParsedPair)]
    chosen = style_matrix((pair.messages[-1]["content"], pair.chosen) for pair in pairs)
    rejected = style_matrix((pair.messages[-1]["content"], pair.rejected) for pair in pairs)
    scaler = Standardiser.fit(np.vstack([chosen, rejected]))
    side = np.random.default_rng(0).choice([-1.0, 1.0], len(pairs))
    d = (scaler.apply(chosen) - scaler.apply(rejected)) * side[:, None]
    target, groups = (side + 1) / 2, [pair.messages[0]["content"] for pair in pairs]
    figure = accuracy(cross_fit(d, target, groups=groups, lam=100.0), target, groups)
    assert figure.value == pytest.approx(0.59, abs=0.02)
    assert figure.low > 0.53


def test_twenty_votes_on_600_features_refit_at_once() -> None:
    """Asked: under 5 ms; the limit is wide for a busy machine."""
    d, q, _ = planted(20, 600)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        fit_head(d, q, lam=100.0)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02
