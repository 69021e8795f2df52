from __future__ import annotations

import numpy as np
import pytest

from feedback.stats.reward_reports import accuracy_by, human_lines, leanings, people_agree, reliability


def test_human_lines_have_their_known_answers() -> None:
    assert human_lines(0.66) == pytest.approx((0.66, 0.7828), abs=1e-4)
    assert human_lines(1.0) == (1.0, 1.0)
    assert human_lines(0.5) == (0.5, 0.5)
    assert human_lines(0.4) == (0.5, 0.5)


def test_the_upper_line_is_right_when_every_pair_has_one_right_answer() -> None:
    rng = np.random.default_rng(0)
    votes = rng.random((200_000, 2)) < 0.8  # each person is right with .8
    agreement = float((votes[:, 0] == votes[:, 1]).mean())
    assert human_lines(agreement)[1] == pytest.approx(0.8, abs=0.005)


def test_agreement_counts_pairs_of_votes() -> None:
    two_of_three = people_agree(np.array([2 / 3]), np.array([3]), np.array(["a"]))
    assert two_of_three.value == pytest.approx(1 / 3)
    target, votes = np.array([1.0, 0.5, 1.0]), np.array([2, 2, 1])
    assert people_agree(target, votes, np.array(list("abc"))).value == pytest.approx(0.5)
    assert people_agree(np.array([1.0]), np.array([1]), np.array(["a"])).n == 0


def test_agreement_is_unbiased_at_any_number_of_votes() -> None:
    rng = np.random.default_rng(1)
    k = rng.binomial(3, 0.7, 100_000)
    found = people_agree(k / 3, np.full(len(k), 3), np.arange(len(k)))
    assert found.value == pytest.approx(0.7**2 + 0.3**2, abs=0.005)


def test_a_calibrated_model_lies_on_the_diagonal_and_an_overconfident_one_below() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(0.02, 0.98, 20_000)
    target = (rng.random(len(p)) < p).astype(float)
    groups = np.arange(len(p))
    assert all(abs(b.predicted - b.observed.value) < 0.03 for b in reliability(p, target, groups))
    sure = reliability(np.where(p > 0.5, 0.95, 0.05), target, groups)[-1]
    assert sure.observed.high < sure.predicted


def test_few_pairs_make_few_bins_and_none_makes_none() -> None:
    p = np.array([0.6] * 12)
    assert len(reliability(p, np.ones(12), np.arange(12))) == 1
    assert reliability(p[:0], p[:0], p[:0]) == []


def test_accuracy_by_level_leaves_out_ties_small_levels_and_pairs_without_one() -> None:
    p = np.array([0.9] * 6 + [0.1] * 6 + [0.9] * 3)
    target = np.array([1.0] * 14 + [0.5])
    levels = ["easy"] * 6 + ["hard"] * 6 + ["rare", None, "easy"]
    found = dict(accuracy_by(levels, p, target, np.arange(15)))
    assert {level: (e.value, e.n) for level, e in found.items()} == {"easy": (1.0, 6), "hard": (0.0, 6)}


def test_a_model_that_likes_length_beyond_what_people_do_is_found_out() -> None:
    rng = np.random.default_rng(3)
    n = 4000
    style = rng.normal(size=(n, 2))
    style[:, 1] += 0.8 * style[:, 0]  # lists go along with length
    quality = rng.normal(size=n)
    target = (quality + 0.3 * rng.normal(size=n) > 0).astype(float)
    by_quality = 1 / (1 + np.exp(-2 * quality))
    by_length = 1 / (1 + np.exp(-(2 * quality + 1.5 * style[:, 0])))
    honest = leanings(["longer", "lists"], style, by_quality, target)
    fooled = leanings(["longer", "lists"], style, by_length, target)
    assert all(abs(lean.controlled) < 0.06 and abs(lean.people) < 0.06 for lean in honest)
    assert fooled[0].controlled > 0.5 and fooled[0].model > 0.4
    assert fooled[1].model > 0.25 and abs(fooled[1].controlled) < 0.06, "lists only go along with length"


def test_leanings_do_not_depend_on_which_answer_is_called_chosen() -> None:
    rng = np.random.default_rng(4)
    style, p, target = rng.normal(size=(50, 2)), rng.random(50), (rng.random(50) < 0.5).astype(float)
    flip = rng.random(50) < 0.5
    other = leanings(
        ["a", "b"],
        np.where(flip[:, None], -style, style),
        np.where(flip, 1 - p, p),
        np.where(flip, 1 - target, target),
    )
    for one, two in zip(leanings(["a", "b"], style, p, target), other, strict=True):
        assert one[1:] == pytest.approx(two[1:])


def test_a_feature_that_never_differs_is_left_out() -> None:
    style = np.column_stack([np.zeros(20), np.linspace(-1, 1, 20)])
    assert [lean.name for lean in leanings(["a", "b"], style, np.full(20, 0.6), np.ones(20))] == ["b"]
