"""Intervals against published or hand-derived answers, and against their own coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from feedback.stats.estimates import (
    accuracy,
    calibration,
    calibration_slope,
    debiased_ece,
    exact_interval,
    log_loss,
    share,
    wilson,
)


def test_wilson_of_8_in_12() -> None:
    """z = 1.96: centre (8/12 + .16)/(1.32) = .6263, half width .2356."""
    assert wilson(8, 12) == pytest.approx((0.3906, 0.8619), abs=1e-4)


def test_wilson_without_votes_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_exact_interval_of_none_in_ten() -> None:
    """0 of n: high = 1 - .025^(1/n) = 1 - .025^.1 = .3085."""
    assert exact_interval(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    low, high = exact_interval(10, 10)
    assert (low, high) == pytest.approx((0.6915, 1.0), abs=1e-4)


def test_accuracy_leaves_ties_out_and_an_even_prediction_counts_half() -> None:
    """Decisive rows: right, wrong, undecided -> (1 + 0 + .5) / 3; the tie is not a row."""
    estimate = accuracy([0.9, 0.2, 0.5, 0.8], [1.0, 0.8, 1.0, 0.5])
    assert estimate.value == pytest.approx(0.5)
    assert estimate.n == 3


def test_all_right_does_not_give_an_interval_of_no_width() -> None:
    """Ten rows in five groups, all right: as wide as 5 of 5."""
    estimate = accuracy(np.full(10, 0.9), np.ones(10), groups=np.arange(10) // 2)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(5, 5))


def test_copies_of_a_prompt_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = (rng.random(60) < 0.7).astype(float)
    once = share(right)
    five_times = share(np.repeat(right, 5), groups=np.repeat(np.arange(60), 5))
    assert five_times.n == 300
    assert (five_times.low, five_times.high) == pytest.approx((once.low, once.high), abs=0.003)


def test_clustered_interval_covers_its_truth() -> None:
    """40 groups of 5 rows that share a group's mood: about 95% of 500 intervals hold the true .6."""
    rng, held = np.random.default_rng(2), 0
    groups = np.repeat(np.arange(40), 5)
    for _ in range(500):
        mood = np.repeat(rng.choice([0.3, 0.9], 40), 5)
        estimate = share((rng.random(200) < mood).astype(float), groups)
        held += estimate.low <= 0.6 <= estimate.high
    assert 0.91 <= held / 500 <= 0.985


def test_no_rows_give_no_figure() -> None:
    assert np.isnan(accuracy([], []).value)
    assert np.isnan(log_loss([], []))


def test_always_a_half_costs_log_two() -> None:
    assert log_loss([0.5, 0.5], [1.0, 0.0]) == pytest.approx(np.log(2))


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert np.isfinite(log_loss([0.0], [1.0]))


def test_slope_of_calibrated_predictions_is_one_and_of_doubled_logits_a_half() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=4000) * 1.5
    target = (rng.random(4000) < expit(x)).astype(float)
    honest, boastful = calibration(expit(x), target), calibration_slope(expit(2 * x), target)
    assert honest.slope.low < 1 < honest.slope.high
    assert honest.intercept.low < 0 < honest.intercept.high
    assert boastful.low < 0.5 < boastful.high < 1


def test_slope_of_exact_probabilities_is_exact() -> None:
    """Soft targets equal to the prediction: the score is nought at slope 1, intercept 0."""
    p = expit(np.linspace(-2, 3, 20))
    figures = calibration(p, p)
    assert figures.slope.value == pytest.approx(1, abs=1e-4)
    assert figures.intercept.value == pytest.approx(0, abs=1e-4)


def test_slope_of_separated_predictions_is_finite() -> None:
    slope = calibration_slope(expit(np.array([-2.0, -1, 1, 2])), [0, 0, 1, 1])
    assert np.isfinite(slope.value)


def test_a_calibrated_model_has_little_debiased_error() -> None:
    """150 votes each, 200 times: the plug-in root mean square gap is about .09, the debiased one under .05."""
    rng = np.random.default_rng(4)
    p = rng.uniform(0.2, 0.8, (200, 150))
    votes = (rng.random(p.shape) < p).astype(float)
    assert np.mean([debiased_ece(a, b) for a, b in zip(p, votes, strict=True)]) < 0.05


def test_a_model_that_says_90_where_60_is_true_is_off_by_30() -> None:
    votes = (np.arange(5000) % 10 < 6).astype(float)
    assert debiased_ece(np.full(5000, 0.9), votes) == pytest.approx(0.3, abs=0.01)
    assert np.isnan(debiased_ece([], []))


def test_slope_without_variation_is_unknown() -> None:
    assert np.isnan(calibration_slope([0.5] * 9, [1.0] * 9).value)
    assert logit(0.5) == 0
