"""Non-inferiority: the arithmetic by hand, the error rates by simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from feedback.stats.noninferiority import (
    clustered_mean,
    design_effect,
    more_failures,
    paired_mean,
    paired_rates,
    separate,
    tango_bound,
    tango_z,
)


def test_without_a_margin_tangos_statistic_is_mcnemars() -> None:
    """At m = 0 the nuisance q is (b + c)/2n, so z = (b - c)/sqrt(b + c) = (3 - 9)/sqrt 12 = -1.7321."""
    assert float(tango_z(3, 9, 40, 0.0)) == pytest.approx(-6 / 12**0.5)


def test_with_no_disagreement_at_all_z_has_a_closed_form() -> None:
    """b = c = 0: 2n q^2 - 2nm q = 0 gives q = m, variance n(2m - m(1 + m)) = n m (1 - m), so z = sqrt(n m/(1 - m)).

    At m = .05, z_.05 = 1.6449 asks for n = 1.6449^2 * .95/.05 = 51.4 pairs.
    """
    assert float(tango_z(0, 0, 200, 0.05)) == pytest.approx((200 * 0.05 / 0.95) ** 0.5)
    assert not paired_rates([1] * 51, [1] * 51, 0.05).passed
    assert paired_rates([1] * 52, [1] * 52, 0.05).passed


def test_tangos_nuisance_solves_its_likelihood_equation() -> None:
    """b = 4, c = 10, n = 100, m = .1. With p_b = q - .1, p_c = q: 4/(q - .1) + 10/q = 86 * 2/(1.1 - 2q).

    z = (4 - 10 + 10)/sqrt(100(2q - .11)); the root is found here by bisection, not by the formula.
    """
    low, high = 0.1 + 1e-12, 0.55 - 1e-12
    for _ in range(200):
        q = (low + high) / 2
        low, high = (q, high) if 4 / (q - 0.1) + 10 / q > 172 / (1.1 - 2 * q) else (low, q)
    assert float(tango_z(4, 10, 100, 0.1)) == pytest.approx(4 / (100 * (2 * q - 0.11)) ** 0.5)


def test_the_bound_is_where_the_test_would_just_reject() -> None:
    bound = tango_bound(4, 10, 100)
    assert float(tango_z(4, 10, 100, -bound)) == pytest.approx(norm.isf(0.05), abs=1e-6)


@pytest.mark.parametrize("rate", [0.9, 0.97])
def test_a_candidate_worse_by_exactly_the_margin_passes_about_alpha(rate: float) -> None:
    """n = 200, margin .05, independent sides, 200,000 draws: the score test stays close to its nominal level."""
    n, worse = 200, rate - 0.05
    p_b, p_c = worse * (1 - rate), rate * (1 - worse)
    rng = np.random.default_rng(0)
    b, c, _ = rng.multinomial(n, [p_b, p_c, 1 - p_b - p_c], 200_000).T
    assert 0.03 < (tango_z(b, c, n, 0.05) >= norm.isf(0.05)).mean() < 0.056


def test_the_mean_is_tested_by_students_t() -> None:
    """d = 1, 0, -1, 0 (mean 0, sd .8165, error .4082, 3 degrees, t_.05 = 2.3534): bound -.9608."""
    shown = paired_mean([1, 0, -1, 0], margin=1.0)
    assert (shown.difference, shown.bound) == pytest.approx((0.0, -0.9608), abs=1e-4)
    assert shown.passed and not paired_mean([1, 0, -1, 0], margin=0.95).passed


def test_copies_of_a_prompt_add_no_evidence() -> None:
    """Four groups of three equal rows: mean and error of the four, three degrees of freedom."""
    once = clustered_mean([1, 0, -1, 0])
    assert clustered_mean(np.repeat([1, 0, -1, 0], 3), np.repeat(range(4), 3)) == pytest.approx(once)
    assert design_effect(np.repeat([1, 0, -1, 0], 3), np.repeat(range(4), 3)) == pytest.approx(4.0)
    few = paired_rates([1] * 60, [1] * 60, 0.05, groups=[n // 6 for n in range(60)])
    assert not few.passed, "sixty answers to ten prompts are ten prompts"


def test_a_single_group_shows_nothing() -> None:
    shown = paired_mean([0.0, 0.0], 0.5, groups=["a", "a"])
    assert not shown.passed and shown.p == 1.0


def test_an_evaluators_figure_needs_its_standard_error() -> None:
    """Difference -.01, error .01, margin .03: z = 2, bound -.01 - 1.6449 * .01 = -.02645."""
    shown = separate(-0.01, 0.01, 0.03, 500)
    assert (shown.bound, shown.p, shown.passed) == (pytest.approx(-0.026449, abs=1e-6), pytest.approx(norm.sf(2)), True)


def test_more_failures_on_one_prompt_is_fishers_exact_test() -> None:
    """5 of 5 against 0 of 5: 1 of C(10, 5) = 252 splits of the five failures is as bad."""
    assert more_failures([5], [0], 5) == (pytest.approx(1 / 252), True)
    assert more_failures([0], [5], 5)[0] == pytest.approx(1.0)


def test_more_failures_add_up_over_prompts() -> None:
    """One failure each on two prompts, both the candidate's: 1/2 * 1/2. The split is enumerated for a third case."""
    assert more_failures([1, 1], [0, 0], 5) == (pytest.approx(0.25), False)
    ways = {k: sum(1 for s in itertools.combinations(range(10), 3) if sum(i < 5 for i in s) == k) for k in range(4)}
    tail = (ways[2] + ways[3]) / 120
    assert more_failures([2], [1], 5)[0] == pytest.approx(tail)


def test_no_prompts_show_nothing() -> None:
    assert not paired_rates([], [], 0.05).passed
    assert more_failures([], [], 5) == (1.0, False)
