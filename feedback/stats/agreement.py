"""How far people agree: Krippendorff's alpha for nominal answers, and plain pairwise agreement.

What cannot be computed is None with a reason, never 0 and never 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from feedback.stats.estimates import Estimate, share

Unit = Sequence[Hashable]


class Agreement(NamedTuple):
    """`alpha` and `raw` over the `n` items with two answers or more; None where `reason` says why.

    alpha: 1 perfect, 0 what chance would give with these answers, below 0 systematic disagreement.
    alpha_low/high: 95% by resampling items. raw: share of pairs of answers to one item that agree.
    """

    n: int
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    raw: Estimate | None
    reason: str


def agreement(units: Iterable[Unit], draws: int = 1000, seed: int = 0) -> Agreement:
    """From the answers to each item (one list an item, each answer by another person, any order)."""
    paired = [list(unit) for unit in units if len(unit) > 1]
    if not paired:
        return Agreement(0, None, None, None, None, "no item was judged by two people")
    raw = share([_agreeing(unit) for unit in paired])
    counts, sizes = _counts(paired)
    alpha = _alpha(counts, sizes, np.ones((1, len(paired))))[0]
    if np.isnan(alpha):
        return Agreement(len(paired), None, None, None, raw, "everybody gave the same answer everywhere")
    weights = np.random.default_rng(seed).multinomial(len(paired), np.full(len(paired), 1 / len(paired)), draws)
    resampled = _alpha(counts, sizes, weights)
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Agreement(len(paired), float(alpha), float(low), float(high), raw, "")


def krippendorff_alpha(units: Iterable[Unit]) -> float | None:
    """alpha = 1 - D_observed / D_expected, nominal metric (Krippendorff 2004, ch. 11); None if undefined."""
    paired = [list(unit) for unit in units if len(unit) > 1]
    if not paired:
        return None
    alpha = _alpha(*_counts(paired), np.ones((1, len(paired))))[0]
    return None if np.isnan(alpha) else float(alpha)


def _counts(units: list[list[Hashable]]) -> tuple[np.ndarray, np.ndarray]:
    """(items, answers) how often each answer was given to each item, and (items,) the answers an item got."""
    column = {answer: k for k, answer in enumerate(dict.fromkeys(a for unit in units for a in unit))}
    counts = np.zeros((len(units), len(column)))
    for row, unit in enumerate(units):
        for answer, times in Counter(unit).items():
            counts[row, column[answer]] = times
    return counts, counts.sum(axis=1)


def _alpha(counts: np.ndarray, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(w, items) weights -> (w,) alphas. NaN where only one answer occurs.

    Observed: ordered pairs of unlike answers within items, each item's over its size - 1. Expected: the
    same over all answers pooled.
    """
    unlike = (sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)
    observed = weights @ unlike
    pooled, total = weights @ counts, weights @ sizes
    expected = (total**2 - (pooled**2).sum(axis=1)) / (total - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _agreeing(unit: list[Hashable]) -> float:
    """Share of the pairs of answers to one item that are the same."""
    same = sum(times * (times - 1) for times in Counter(unit).values())
    return same / (len(unit) * (len(unit) - 1))
