"""Do people pick a side rather than an answer? Sides are random, so an honest left-pick rate is 1/2."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import binomtest

from feedback.stats.estimates import Estimate, wilson


class LeftPicks(NamedTuple):
    """`rate` of left among decisive votes with its Wilson interval; p: the exact two-sided test against 1/2."""

    rate: Estimate | None
    p: float | None
    reason: str


def left_picks(left: int, right: int) -> LeftPicks:
    """From the number of votes that picked the left and the right side (ties are neither).

    Unlike the promotion tests this p holds for one look: show it, do not act on it repeatedly.
    """
    n = left + right
    if n == 0:
        return LeftPicks(None, None, "no decisive vote yet")
    low, high = wilson(left, n)
    return LeftPicks(Estimate(left / n, low, high, n), float(binomtest(left, n).pvalue), "")
