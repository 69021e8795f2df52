"""A linear Bradley-Terry reward head with a Laplace posterior.

    theta = argmin sum_i w_i BCE(sigmoid(theta . d_i), q_i) + lam/2 |theta|^2,   d = phi_a - phi_b
    H     = sum_i w_i p_i (1 - p_i) d_i d_i^T + lam I,     theta_k = theta + H^(-1/2) z_k

Newton steps backtrack: plain Newton diverges on separable data. With more features than rows the
minimum lies in the span of the rows, so we solve there (r = n dimensions, from the thin SVD); the
posterior outside that span is the prior, variance 1/lam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import expit

from feedback.stats.estimates import accuracy, calibration_slope, log_loss

__all__ = [
    "Head",
    "Standardiser",
    "accuracy",
    "calibration_slope",
    "choose_lam",
    "cross_fit",
    "fit_head",
    "fold_heads",
    "log_loss",
]


@dataclass(frozen=True)
class Standardiser:
    """(phi - mean) / scale by column; a constant column becomes 0 (scale inf)."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, phi: np.ndarray) -> Standardiser:
        """From (n, F) features of responses (not of differences)."""
        phi = np.asarray(phi, dtype=float)
        mean, scale = phi.mean(axis=0), phi.std(axis=0)
        constant = scale <= 1e-9 * np.maximum(1.0, np.abs(mean))
        return cls(mean, np.where(constant, np.inf, scale))

    def apply(self, phi: np.ndarray) -> np.ndarray:
        return (np.asarray(phi, dtype=float) - self.mean) / self.scale

    def to_arrays(self, prefix: str = "standardiser_") -> dict[str, np.ndarray]:
        return {prefix + "mean": self.mean, prefix + "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str = "standardiser_") -> Standardiser:
        return cls(np.asarray(arrays[prefix + "mean"]), np.asarray(arrays[prefix + "scale"]))


@dataclass(frozen=True)
class Head:
    """theta (F,); chol (r, r) = lower Cholesky factor of H inside `basis` (F, r); basis None: of all of H."""

    theta: np.ndarray
    chol: np.ndarray
    lam: float
    basis: np.ndarray | None = None

    def rewards(self, phi: np.ndarray) -> np.ndarray:
        """(n, F) standardised features -> (n,) rewards."""
        return np.asarray(phi, dtype=float) @ self.theta

    def draws(self, k: int, seed: int | np.random.Generator = 0) -> np.ndarray:
        """(k, F) draws of theta from the Laplace posterior; the same seed gives the same draws."""
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((len(self.chol), k))
        inside = solve_triangular(self.chol, z, lower=True, trans="T").T
        if self.basis is None:
            return self.theta + inside
        prior = rng.standard_normal((k, len(self.theta))) / np.sqrt(self.lam)
        return self.theta + inside @ self.basis.T + prior - (prior @ self.basis) @ self.basis.T

    def to_arrays(self, prefix: str = "head_") -> dict[str, np.ndarray]:
        arrays = {"theta": self.theta, "chol": self.chol, "lam": np.array(self.lam)}
        if self.basis is not None:
            arrays["basis"] = self.basis
        return {prefix + name: array for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str = "head_") -> Head:
        basis = np.asarray(arrays[prefix + "basis"]) if prefix + "basis" in arrays else None
        theta, chol = np.asarray(arrays[prefix + "theta"]), np.asarray(arrays[prefix + "chol"])
        return cls(theta, chol, float(arrays[prefix + "lam"]), basis)


def fit_head(
    differences: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    lam: float = 1.0,
    offset: ArrayLike | None = None,
) -> Head:
    """Fit on (n, F) differences of standardised features and (n,) targets in [0, 1] (1/2 = tie).

    offset (n,): known log odds added to theta . d, such as a habit of the voter. n = 0 gives the prior.
    Raises ValueError for lam <= 0, non-finite numbers, or shapes that do not agree.
    """
    d, q, w = _checked(differences, target, weight, lam)
    n, width = d.shape
    known = np.zeros(n) if offset is None else np.asarray(offset, dtype=float)
    if width <= n:
        beta, chol = _newton(d, q, w, lam, known)
        return Head(beta, chol, float(lam))
    left, singular, right = np.linalg.svd(d, full_matrices=False)
    beta, chol = _newton(left * singular, q, w, lam, known)
    return Head(right.T @ beta, chol, float(lam), right.T)


def cross_fit(
    differences: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    lam: float = 1.0,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """(n,) probabilities, each from a head that saw no row of the same group.

    Folds depend on the set of groups and the seed, not on the order of rows. Fewer than two groups: all 1/2.
    """
    d, q, w = _checked(differences, target, weight, lam)
    p_hat = np.full(len(q), 0.5)
    for out, head in fold_heads(d, q, w, groups, lam, folds, seed):
        p_hat[out] = expit(head.rewards(d[out]))
    return p_hat


def fold_heads(
    differences: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    lam: float = 1.0,
    folds: int = 5,
    seed: int = 0,
) -> Iterator[tuple[np.ndarray, Head]]:
    """Each fold's rows (a mask of shape (n,)) with a head fitted on the rows of the other groups."""
    d, q, w = _checked(differences, target, weight, lam)
    fold = _folds(groups if groups is not None else np.arange(len(q)), folds, seed)
    for held_out in np.unique(fold) if len(q) and fold.max() > 0 else ():
        rest = fold != held_out
        yield ~rest, fit_head(d[rest], q[rest], w[rest], lam)


def choose_lam(
    differences: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    grid: Sequence[float] = (1, 10, 100, 1000),
    seed: int = 0,
) -> float:
    """The lam of the grid with the least cross-fitted log loss (the larger one on equal loss)."""
    losses = {
        lam: log_loss(cross_fit(differences, target, weight, groups, lam, seed=seed), target, weight)
        for lam in sorted(grid, reverse=True)
    }
    return min(losses, key=lambda lam: losses[lam])


def _newton(
    d: np.ndarray, q: np.ndarray, w: np.ndarray, lam: float, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(r,) minimiser and lower Cholesky factor (r, r) of the Hessian there."""
    theta = np.zeros(d.shape[1])
    margin = offset.copy()

    def loss(m: np.ndarray, b: np.ndarray) -> float:
        return float(w @ (np.logaddexp(0, m) - q * m) + lam / 2 * b @ b)

    for _ in range(60):
        p = expit(margin)
        gradient = d.T @ (w * (p - q)) + lam * theta
        step = cho_solve((_hessian_chol(d, w * p * (1 - p), lam), True), gradient)
        decrement = float(gradient @ step)
        if decrement < 1e-12:
            break
        along, size, now = d @ step, 1.0, loss(margin, theta)
        # The slack of 1e-12 lets rounding noise at the minimum pass instead of halving for ever.
        while loss(margin - size * along, theta - size * step) > now - 1e-4 * size * decrement + 1e-12:
            size /= 2
            if size < 1e-10:
                break
        theta, margin = theta - size * step, margin - size * along
    p = expit(margin)
    return theta, _hessian_chol(d, w * p * (1 - p), lam)


def _hessian_chol(d: np.ndarray, curvature: np.ndarray, lam: float) -> np.ndarray:
    hessian = (d * curvature[:, None]).T @ d
    hessian[np.diag_indices_from(hessian)] += lam
    return np.tril(cho_factor(hessian, lower=True)[0])


def _folds(groups: ArrayLike, folds: int, seed: int) -> np.ndarray:
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % max(2, min(folds, len(names))))[index] if len(names) > 1 else np.zeros(len(index), int)


def _checked(
    differences: ArrayLike, target: ArrayLike, weight: ArrayLike | None, lam: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d, q = np.asarray(differences, dtype=float), np.asarray(target, dtype=float)
    w = np.ones(len(q)) if weight is None else np.asarray(weight, dtype=float)
    if d.ndim != 2 or q.shape != (len(d),) or w.shape != q.shape:
        raise ValueError(f"shapes do not agree: differences {d.shape}, target {q.shape}, weight {w.shape}")
    if not lam > 0:
        raise ValueError("lam must be positive")
    if not (np.isfinite(d).all() and np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("differences and weights must be finite, weights not negative")
    if not ((q >= 0) & (q <= 1)).all():
        raise ValueError("targets must lie between 0 and 1")
    return d, q, w
