"""Is the candidate no worse, by more than a declared margin? One-sided tests of paired answers to the same prompts.

Everything is stated as a good thing: `difference` is good(candidate) - good(live), and the null is
difference <= -margin. A test that is passed says "worse by less than the margin", at confidence 1 - alpha;
one that is not passed says nothing about being worse. So each goes with its power, see `power`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import hypergeom, norm
from scipy.stats import t as student


class Shown(NamedTuple):
    """What a test showed: the estimate, its lower confidence bound, the p-value of "worse by the margin or more"."""

    difference: float
    bound: float
    p: float
    passed: bool
    n: int


def paired_rates(
    candidate: ArrayLike, live: ArrayLike, margin: float, groups: ArrayLike | None = None, alpha: float = 0.05
) -> Shown:
    """Two rates on the same n prompts, (n,) booleans "good": Tango's score test (1998).

    Prompts of one group are not independent: counts are divided by the design effect of the groups (Rao & Scott).
    """
    new, old = np.asarray(candidate, dtype=float), np.asarray(live, dtype=float)
    n = len(new)
    if n == 0:
        return _nothing()
    effect = design_effect(new - old, groups)
    b, c = float(((new == 1) & (old == 0)).sum()) / effect, float(((new == 0) & (old == 1)).sum()) / effect
    z = float(tango_z(b, c, n / effect, margin))
    bound = tango_bound(b, c, n / effect, alpha)
    return Shown(float((new - old).mean()), bound, float(norm.sf(z)), z >= norm.isf(alpha), n)


def tango_z(b: ArrayLike, c: ArrayLike, n: float, margin: float) -> np.ndarray:
    """Score statistic of p_b - p_c > -margin, from b pairs good in the first only and c in the second only.

    z = (b - c + n m)/sqrt(n (2 q - m(1 + m))), with q the likelihood's estimate of p_c under p_b - p_c = -m: the
    larger root of 2n q^2 + (-b - c - (2n - b + c) m) q + c m (1 + m) = 0. At m = 0 this is McNemar's statistic.
    """
    b, c = np.asarray(b, dtype=float), np.asarray(c, dtype=float)
    d = -margin
    linear = -b - c + (2 * n - b + c) * d
    root = np.sqrt(np.maximum(linear**2 + 8 * n * c * d * (1 - d), 0.0))
    q = (root - linear) / (4 * n)
    variance = n * np.maximum(2 * q + d * (1 - d), 0.0)
    gap = b - c - n * d
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gap / np.sqrt(variance)
    return np.where(variance > 0, z, np.where(gap > 0, np.inf, 0.0))


def tango_bound(b: float, c: float, n: float, alpha: float = 0.05) -> float:
    """The greatest difference that is rejected: the lower confidence limit of p_b - p_c."""
    critical = norm.isf(alpha)
    low, high = -1.0, (b - c) / n
    for _ in range(50):
        middle = (low + high) / 2
        if tango_z(b, c, n, -middle) >= critical:
            low = middle
        else:
            high = middle
    return low


def paired_mean(differences: ArrayLike, margin: float, groups: ArrayLike | None = None, alpha: float = 0.05) -> Shown:
    """A mean difference (n,), good side up: t test with a variance clustered by group, groups - 1 degrees."""
    d = np.asarray(differences, dtype=float)
    if len(d) == 0:
        return _nothing()
    mean, error, degrees = clustered_mean(d, groups)
    if degrees < 1:
        return Shown(mean, float("-inf"), 1.0, False, len(d))
    bound = mean - float(student.isf(alpha, degrees)) * error
    t = (mean + margin) / error if error > 0 else (np.inf if mean > -margin else -np.inf)
    return Shown(mean, bound, float(student.sf(t, degrees)), bound > -margin, len(d))


def separate(value: float, error: float, margin: float, n: int, alpha: float = 0.05) -> Shown:
    """A difference known with its standard error alone (an outside evaluator's figures): z test."""
    bound = value - float(norm.isf(alpha)) * error
    z = (value + margin) / error if error > 0 else (np.inf if value > -margin else -np.inf)
    return Shown(value, bound, float(norm.sf(z)), bound > -margin, n)


def more_failures(candidate: ArrayLike, live: ArrayLike, draws: int, alpha: float = 0.05) -> tuple[float, bool]:
    """(p, failed): does the candidate fail must-pass prompts more often than live, `draws` answers each?

    Exact and stratified: given the failures of both together on a prompt, the candidate's are hypergeometric if
    it fails as often; their sum over the prompts is convolved. Prompts that both always pass say nothing.
    """
    new, old = np.asarray(candidate, dtype=int), np.asarray(live, dtype=int)
    law = np.ones(1)
    for failures in new + old:
        law = np.convolve(law, hypergeom.pmf(np.arange(draws + 1), 2 * draws, failures, draws))
    p = float(law[int(new.sum()) :].sum())
    return min(p, 1.0), p <= alpha


def clustered_mean(values: ArrayLike, groups: ArrayLike | None = None) -> tuple[float, float, int]:
    """(mean, standard error clustered by group, degrees of freedom = groups - 1)."""
    x = np.asarray(values, dtype=float)
    index, count = _index(groups, len(x))
    mean = float(x.mean())
    sums = np.bincount(index, weights=x - mean, minlength=count)
    if count < 2:
        return mean, float("inf"), 0
    return mean, float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(x)), count - 1


def design_effect(differences: ArrayLike, groups: ArrayLike | None) -> float:
    """Clustered variance over the plain one, at least 1; n / groups where nothing varies."""
    d = np.asarray(differences, dtype=float)
    index, count = _index(groups, len(d))
    if count == len(d):
        return 1.0
    plain = d.var()
    if plain == 0 or count < 2:
        return len(d) / max(count, 1)
    sums = np.bincount(index, weights=d - d.mean(), minlength=count)
    return max(1.0, float((sums**2).sum() * count / (count - 1) / len(d) / plain))


def _index(groups: ArrayLike | None, n: int) -> tuple[np.ndarray, int]:
    if groups is None:
        return np.arange(n), n
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return index, int(index.max()) + 1 if n else 0


def _nothing() -> Shown:
    return Shown(float("nan"), float("-inf"), 1.0, False, 0)
