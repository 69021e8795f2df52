"""Agreement against Krippendorff's published example, an independent implementation, and edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from feedback.stats.agreement import agreement, krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), C: four observers, twelve units.
PUBLISHED = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
UNITS = [[answer for answer in unit if answer != "*"] for unit in zip(*PUBLISHED, strict=True)]


def test_the_published_example_gives_743() -> None:
    assert krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)


def test_two_people_and_four_items_by_hand() -> None:
    """aa aa bb ab: D_o = 2/8 (one unlike pair, counted twice), D_e = 2*5*3/(8*7) = 30/56, alpha = 8/15."""
    found = agreement([["a", "a"], ["a", "a"], ["b", "b"], ["a", "b"]])
    assert found.alpha == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert found.alpha == pytest.approx(8 / 15)
    assert found.raw is not None
    assert found.raw.value == 0.75
    assert found.n == 4


def test_names_and_order_of_answers_do_not_matter() -> None:
    renamed = [[{"1": "tie", "2": "A", "3": "B"}.get(a, a) for a in reversed(unit)] for unit in UNITS]
    assert krippendorff_alpha(renamed) == pytest.approx(krippendorff_alpha(UNITS))


def test_perfect_agreement_is_one_and_opposition_is_below_nought() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1.0
    assert krippendorff_alpha([["a", "b"]] * 4) < 0  # type: ignore[operator]


def test_items_with_one_answer_do_not_count() -> None:
    assert agreement([["a"], [], ["b"]]).reason == "no item was judged by two people"
    assert krippendorff_alpha([*UNITS, ["1"], []]) == krippendorff_alpha(UNITS)


def test_one_answer_everywhere_is_undefined_and_not_perfect() -> None:
    """Nobody can tell agreement from a habit of always answering the same."""
    found = agreement([["a", "a"]] * 9)
    assert found.alpha is None
    assert "same answer" in found.reason
    assert found.raw is not None
    assert found.raw.value == 1.0
    assert found.raw.low < 0.75


def test_coins_agree_half_of_the_time_and_have_no_alpha() -> None:
    coins = np.random.default_rng(0).integers(0, 2, (400, 2)).tolist()
    found = agreement(coins)
    assert found.alpha_low < 0 < found.alpha_high  # type: ignore[operator]
    assert found.raw is not None
    assert found.raw.low < 0.5 < found.raw.high


def test_three_answers_give_the_share_of_agreeing_pairs() -> None:
    """a a b: one of three pairs agrees."""
    found = agreement([["a", "a", "b"]])
    assert found.raw is not None
    assert found.raw.value == pytest.approx(1 / 3)


def test_alpha_equals_evalicas() -> None:
    pd = pytest.importorskip("pandas")
    evalica = pytest.importorskip("evalica")
    table = np.random.default_rng(1).integers(0, 3, (5, 60)).astype(float)
    table[np.random.default_rng(2).random((5, 60)) < 0.3] = np.nan
    units = [[x for x in column if x == x] for column in table.T]
    theirs = evalica.alpha(pd.DataFrame(table), distance="nominal").alpha
    assert krippendorff_alpha(units) == pytest.approx(theirs)
