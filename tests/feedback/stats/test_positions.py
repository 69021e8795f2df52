"""The left-pick rate."""

from __future__ import annotations

import pytest

from feedback.stats.estimates import wilson
from feedback.stats.positions import left_picks


def test_eight_of_ten_on_the_left_is_not_yet_a_habit() -> None:
    """Two-sided exact p = 2 * (C(10,8) + C(10,9) + C(10,10)) / 2^10 = 112/1024."""
    found = left_picks(8, 2)
    assert found.rate is not None
    assert found.rate.value == 0.8
    assert (found.rate.low, found.rate.high) == wilson(8, 10)
    assert found.p == pytest.approx(112 / 1024)


def test_eighty_of_a_hundred_is_one() -> None:
    found = left_picks(80, 20)
    assert found.p is not None
    assert found.p < 1e-8


def test_without_votes_there_is_no_rate() -> None:
    assert left_picks(0, 0).rate is None
    assert left_picks(0, 0).reason
