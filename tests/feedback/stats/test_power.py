"""Power, by another road than the code takes: simulation against sums, sums against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from feedback.stats.noninferiority import paired_mean, paired_rates
from feedback.stats.power import (
    power_of_mean,
    power_of_more_failures,
    power_of_rates,
    power_of_separate,
    promotion_rate,
    smoothed_rate,
)
from feedback.stats.sequential import Rule


def test_when_nothing_ever_fails_the_power_is_that_of_the_one_outcome() -> None:
    """Rate 1: b = c = 0 for sure, z = sqrt(n m/(1 - m)): passed from n = 52 on (m = .05)."""
    assert power_of_rates(1.0, 51, 0.05) == 0.0
    assert power_of_rates(1.0, 52, 0.05) == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "n", "margin"), [(0.95, 200, 0.05), (0.8, 60, 0.1)])
def test_power_of_rates_is_how_often_equal_sides_pass(rate: float, n: int, margin: float) -> None:
    rng = np.random.default_rng(1)
    sides = rng.random((1500, 2, n)) < rate
    passed = np.mean([paired_rates(a, b, margin).passed for a, b in sides])
    assert power_of_rates(rate, n, margin) == pytest.approx(float(passed), abs=0.04)


def test_power_of_a_mean_is_how_often_equal_sides_pass() -> None:
    """sd 1, n = 30, margin .5: t shifted by .5 sqrt 30 = 2.74, about .85."""
    rng = np.random.default_rng(2)
    passed = np.mean([paired_mean(d, 0.5).passed for d in rng.standard_normal((2000, 30))])
    assert power_of_mean(1.0, 30, 0.5) == pytest.approx(float(passed), abs=0.03)


def test_power_grows_with_data_and_margin_and_stays_a_number() -> None:
    assert power_of_mean(1.0, 10, 0.5) < power_of_mean(1.0, 40, 0.5) < power_of_mean(1.0, 40, 0.8)
    assert power_of_mean(1e-6, 200, 0.2) == 1.0 and power_of_mean(0.0, 200, 0.2) == 1.0
    assert power_of_mean(1.0, 1, 0.5) == 0.0 and power_of_rates(0.9, 0, 0.1) == 0.0


def test_a_figure_whose_margin_is_its_critical_distance_passes_half_the_time() -> None:
    """margin = 1.6449 standard errors: the bound of a true 0 lies above -margin with chance Phi(0) = .5."""
    assert power_of_separate(0.01, 0.01 * float(norm.isf(0.05))) == pytest.approx(0.5)


def test_a_rate_without_failures_is_planned_with_half_a_failure() -> None:
    assert smoothed_rate(200, 200) == pytest.approx(200.5 / 201)


def test_catching_a_rise_of_failures_needs_prompts() -> None:
    few, many = (power_of_more_failures(0.05, n, 5, 0.2) for n in (3, 20))
    assert few < 0.6 < 0.95 < many


def test_a_no_better_candidate_is_promoted_at_most_alpha_and_a_better_one_often() -> None:
    rule = Rule(limit=200)
    assert promotion_rate(rule, 0.5) <= 0.05 + 2 * (0.05 * 0.95 / 4000) ** 0.5
    assert promotion_rate(rule, 0.45) < 0.015
    assert promotion_rate(rule, 0.65) > 0.95


def test_a_share_of_alpha_halves_the_false_promotions() -> None:
    assert promotion_rate(Rule(limit=200, alpha=0.025), 0.5) < 0.03
