"""An estimate with its interval, and the figures of a predictor of preferences.

Pairs of one prompt are not independent, so every interval here clusters by prompt group: the
variance comes from the sums of residuals within groups (the "sandwich"), never from single rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, expit, logit

Z95 = 1.959963984540054
TINY = 1e-6


class Estimate(NamedTuple):
    """A figure, its 95% interval, and the number of rows it rests on."""

    value: float
    low: float
    high: float
    n: int


class Calibration(NamedTuple):
    """logit P(a) = intercept + slope * logit(predicted); slope 1 is calibrated, below 1 overconfident."""

    slope: Estimate
    intercept: Estimate


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a share; half successes (ties) are allowed; (0, 1) when n is 0.

    Known answer: 8 of 12 gives .391 to .862.
    """
    if n <= 0:
        return 0.0, 1.0
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def exact_interval(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share: never too narrow, at any n."""
    if n <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def share(values: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """Mean of values in [0, 1], Wilson interval at the effective sample size of the clustered groups.

    n_eff = p(1-p)/var_clustered, never above n; when nothing varies (all right) the number of groups,
    so that 10 of 10 does not get an interval of width nought.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    mean = float(values.mean())
    index, count = _group_index(groups, n)
    sums = np.bincount(index, weights=values - mean, minlength=count)
    variance = (sums**2).sum() / n**2 * count / max(count - 1, 1)
    effective = min(n, mean * (1 - mean) / variance) if variance > 1e-12 else count
    low, high = wilson(mean * effective, effective)
    return Estimate(mean, low, high, n)


def accuracy(p_hat: ArrayLike, target: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """How often the likelier side is the one that people preferred. Ties in `target` are left out.

    p_hat, target: (n,) probabilities that the first is better; a prediction of exactly 1/2 counts half.
    """
    p_hat, target = np.asarray(p_hat, dtype=float), np.asarray(target, dtype=float)
    decisive = target != 0.5
    right = (np.sign(p_hat - 0.5) * np.sign(target - 0.5) + 1) / 2
    kept = None if groups is None else np.asarray(groups)[decisive]
    return share(right[decisive], kept)


def log_loss(p_hat: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean cross-entropy in nats; .693 is what always saying 1/2 costs. NaN without rows."""
    p = np.clip(np.asarray(p_hat, dtype=float), TINY, 1 - TINY)
    q = np.asarray(target, dtype=float)
    if len(q) == 0:
        return float("nan")
    w = np.ones(len(q)) if weight is None else np.asarray(weight, dtype=float)
    return float(np.average(-(q * np.log(p) + (1 - q) * np.log1p(-p)), weights=w))


def calibration(p_hat: ArrayLike, target: ArrayLike, groups: ArrayLike | None = None) -> Calibration:
    """Slope and intercept of a logistic regression of target on logit(p_hat), clustered intervals."""
    x = logit(np.clip(np.asarray(p_hat, dtype=float), TINY, 1 - TINY))
    q = np.asarray(target, dtype=float)
    unknown = Estimate(float("nan"), float("-inf"), float("inf"), len(q))
    if len(q) < 3 or np.ptp(x) < 1e-9:
        return Calibration(unknown, unknown)
    design = np.stack([x, np.ones_like(x)], axis=1)
    beta = fit_logistic(design, q)
    error = np.sqrt(np.diag(sandwich(design, q, beta, groups)))
    low, high = beta - Z95 * error, beta + Z95 * error
    slope, intercept = (Estimate(float(beta[i]), float(low[i]), float(high[i]), len(q)) for i in (0, 1))
    return Calibration(slope, intercept)


def calibration_slope(p_hat: ArrayLike, target: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """The slope alone; see `calibration`."""
    return calibration(p_hat, target, groups).slope


def debiased_ece(p_hat: ArrayLike, target: ArrayLike, bins: int = 10) -> float:
    """Root mean square gap between predicted and observed shares over equal bins of [0, 1], less its noise.

    Each bin's squared gap loses q(1-q)/(n-1), what chance alone gives (Kumar et al. 2019); below 0 is 0.
    The plug-in figure would average .08 for a perfectly calibrated model on 150 votes. NaN without rows.
    """
    p, q = np.asarray(p_hat, dtype=float), np.asarray(target, dtype=float)
    if len(p) == 0:
        return float("nan")
    index = np.minimum((p * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    used = n > 1  # one vote alone cannot be told from noise
    gap = np.bincount(index, weights=p - q, minlength=bins)[used] / n[used]
    observed = np.bincount(index, weights=q, minlength=bins)[used] / n[used]
    square = gap**2 - observed * (1 - observed) / (n[used] - 1)
    return float(np.sqrt(max(0.0, (n[used] * square).sum() / max(n[used].sum(), 1))))


def fit_logistic(design: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(n, k) design, (n,) targets in [0, 1] -> (k,) coefficients.

    Newton with backtracking; a ridge of 1e-6 keeps perfectly separated rows finite.
    """
    ridge = 1e-6 * np.eye(design.shape[1])
    beta = np.zeros(design.shape[1])

    def loss(b: np.ndarray) -> float:
        m = design @ b
        return float((np.logaddexp(0, m) - q * m).sum() + 5e-7 * b @ b)

    for _ in range(100):
        p = expit(design @ beta)
        gradient = design.T @ (p - q) + 1e-6 * beta
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + ridge, gradient)
        size, now = 1.0, loss(beta)
        while size > 1e-6 and loss(beta - size * step) > now - 1e-4 * size * gradient @ step:
            size /= 2
        beta = beta - size * step
        if gradient @ step < 1e-12:
            break
    return beta


def sandwich(design: np.ndarray, q: np.ndarray, beta: np.ndarray, groups: ArrayLike | None) -> np.ndarray:
    """(k, k) covariance of the coefficients, clustered by group."""
    p = expit(design @ beta)
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(design.shape[1]))
    index, count = _group_index(groups, len(q))
    scores = np.zeros((count, design.shape[1]))
    np.add.at(scores, index, design * (q - p)[:, None])
    return bread @ (scores.T @ scores) @ bread * count / max(count - 1, 1)


def _group_index(groups: ArrayLike | None, n: int) -> tuple[np.ndarray, int]:
    """(n,) integer group of each row and the number of groups; without groups each row is its own."""
    if groups is None:
        return np.arange(n), n
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return index, int(index.max()) + 1 if n else 0
