"""What a test can see, worked out before the first vote: power of guardrails and of the gate itself.

The power of a guardrail is the chance that a candidate with nothing worse passes it. Its variance is taken from
the live policy alone (never from the candidate's answers), as if the two answered independently: answers that
agree make the truth better than the plan.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaln, xlogy
from scipy.stats import nct, norm
from scipy.stats import t as student

from feedback.stats.noninferiority import more_failures, tango_z
from feedback.stats.sequential import Rule, log_statistic, stopping_times

ENOUGH = 0.8
FAR = 30.0
HORIZON = 2000  # votes after which a rule without a limit counts as undecided


def smoothed_rate(good: float, n: int) -> float:
    """(good + 1/2)/(n + 1): a rate of exactly 1 would plan with no variance at all."""
    return (good + 0.5) / (n + 1)


def power_of_rates(rate: float, n: int, margin: float, alpha: float = 0.05) -> float:
    """Chance that Tango's test is passed when both sides are good at `rate`, independently: all (b, c) summed."""
    if n < 1:
        return 0.0
    q = rate * (1 - rate)
    reach = int(min(n, np.ceil(n * q + 10 * np.sqrt(n * q) + 10)))
    b, c = np.meshgrid(np.arange(reach + 1), np.arange(reach + 1), indexing="ij")
    possible = b + c <= n
    rest = np.where(possible, n - b - c, 0)
    weight = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(rest + 1)
    law = np.exp(weight + xlogy(b + c, q) + xlogy(rest, 1 - 2 * q)) * possible
    return float(min(1.0, law[tango_z(b, c, n, margin) >= norm.isf(alpha)].sum()))


def power_of_mean(sd: float, n: int, margin: float, alpha: float = 0.05) -> float:
    """Chance that the t test of a mean difference is passed when the true difference is 0."""
    if n < 2:
        return 0.0
    if sd <= 0:
        return 1.0
    strength = margin * np.sqrt(n) / sd
    if strength > FAR:  # scipy's law gives no number there
        return 1.0
    return float(nct.sf(student.isf(alpha, n - 1), n - 1, strength))


def power_of_separate(error: float, margin: float, alpha: float = 0.05) -> float:
    """The same where only the standard error of the difference is known."""
    return float(norm.cdf(margin / error - norm.isf(alpha))) if error > 0 else 1.0


@lru_cache(maxsize=256)
def power_of_more_failures(
    rate: float, prompts: int, draws: int, rise: float, alpha: float = 0.05, simulations: int = 1000
) -> float:
    """Chance that a candidate which fails must-pass prompts at `rate` + `rise` is caught. Simulated, seeded."""
    if prompts == 0:
        return 0.0
    rng = np.random.default_rng(0)
    old = rng.binomial(draws, rate, (simulations, prompts))
    new = rng.binomial(draws, min(1.0, rate + rise), (simulations, prompts))
    return float(np.mean([more_failures(a, b, draws, alpha)[1] for a, b in zip(new, old, strict=True)]))


@lru_cache(maxsize=256)
def promotion_rate(rule: Rule, p: float, halves: float = 0.0, simulations: int = 4000) -> float:
    """Chance that `rule` promotes a candidate that wins a share `p` of decisive votes. Simulated, seeded.

    halves: share of votes that are ties, unusable or the same text.
    """
    rng = np.random.default_rng(0)
    shape = (simulations, rule.limit or HORIZON)
    votes = np.where(rng.random(shape) < halves, 0.5, (rng.random(shape) < p).astype(float))
    path = log_statistic(rule, votes)
    stop = np.minimum(stopping_times(rule, path), shape[1]).astype(int)
    return float((path[np.arange(simulations), stop - 1] >= rule.upper).mean())
