"""Numbers in words, and places in small figures."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rlhf.templatetags.rlhf_figures import duration, estimate, percent, share
from rlhf.views.drawing import Frame, band, bar, line

FRAME = Frame(0, 0, 100, 10, 0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.641, ".64"), (1.0, "1.00"), (0.0, ".00"), (-0.2, "-0.20"), (None, "–"), (float("nan"), "–"), ("", "–")],
)
def test_a_share_has_no_leading_nought_and_a_missing_one_is_a_dash(value: object, words: str) -> None:
    assert share(value) == words


@pytest.mark.parametrize(
    "figure", [{"value": 0.64, "low": 0.58, "high": 0.7, "n": 412}, [0.64, 0.58, 0.7, 412], (0.64, 0.58, 0.7, 412)]
)
def test_an_estimate_never_comes_without_its_interval(figure: object) -> None:
    assert estimate(figure) == ".64 (.58 to .70, n 412)"


def test_what_was_not_measured_is_a_dash() -> None:
    assert (estimate(None), estimate({"value": None}), percent(None)) == ("–", "–", "–")


@pytest.mark.parametrize(
    ("value", "words"),
    [(3.2, "3 s"), (125, "2 min 5 s"), (660, "11 min"), (3840, "1 h 4 min"), (timedelta(minutes=2), "2 min")],
)
def test_durations_are_as_fine_as_they_are_useful(value: object, words: str) -> None:
    assert duration(value) == words


def test_a_bar_starts_at_the_middle_and_is_cut_at_the_edge() -> None:
    assert bar(0.5, 0.25, 2.0, 1.0) == (100.0, 50.0, 125.0, 200.0)
    assert bar(-0.5, -1.0, 0.0, 1.0) == (50.0, 50.0, 0.0, 100.0)


def test_a_line_leaves_a_gap_where_there_is_no_value() -> None:
    assert line(FRAME, [None, 0.5, 1.0], 4) == "50.0,5.0 75.0,0.0"


def test_a_band_goes_out_along_the_top_and_back_along_the_bottom() -> None:
    assert band(FRAME, [1, 2], [0.0, 0.2], [1.0, 0.8], 2) == "50.0,0.0 100.0,2.0 100.0,8.0 50.0,10.0"
