"""Choosing pairs: known answers, and a control arm that is really random."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from rlhf.selection_rules import choose_pairs, pick_pair


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_sea_asks_about_the_best_and_the_most_uncertain_rival() -> None:
    """Answer 1 is best in every draw; R1 - R0 is 2, 2 (variance 0), R1 - R2 is 6, 1 (variance 6.25)."""
    draws = np.array([[3.0, 5.0, -1.0], [2.0, 4.0, 3.0]])
    assert {pick_pair("sea", draws, rng(seed)) for seed in range(20)} == {(1, 2)}


def test_sea_takes_the_best_of_one_draw_not_of_the_mean() -> None:
    """Answer 0 wins under draw 0, answer 1 under draw 1: both are first choices, in about equal shares."""
    draws = np.array([[9.0, 0.0, 1.0], [0.0, 1.0, 0.5]])
    first = collections.Counter(pick_pair("sea", draws, rng(seed))[0] for seed in range(400))
    assert 150 < first[0] < 250
    assert first[0] + first[1] == 400


def test_sea_compares_two_answers_even_where_all_draws_agree() -> None:
    assert pick_pair("sea", np.zeros((4, 2)), rng()) in {(0, 1), (1, 0)}


def test_random_pairs_are_uniform_over_ordered_pairs() -> None:
    source = rng(1)
    seen = collections.Counter(pick_pair("random", np.zeros((1, 3)), source) for _ in range(6000))
    assert len(seen) == 6
    assert all(900 < count < 1100 for count in seen.values())


@pytest.mark.parametrize(("rule", "shape"), [("best", (4, 3)), ("sea", (4, 1)), ("random", (4,))])
def test_what_cannot_be_chosen_is_refused(rule: str, shape: tuple) -> None:
    with pytest.raises(ValueError, match=r"rule|candidates"):
        pick_pair(rule, np.zeros(shape), rng())


def test_the_control_arm_has_its_share_and_is_marked() -> None:
    prompts = [rng(k).normal(size=(8, 4)) for k in range(200)]
    arms = collections.Counter(arm for *_, arm in choose_pairs(prompts, "sea", 0.25, rng()))
    assert arms == {"control": 50, "active": 150}


def test_a_share_that_does_not_divide_is_right_on_average() -> None:
    """Three prompts at .25: .75 control pairs a batch."""
    prompts = [np.zeros((2, 2))] * 3
    source = rng(2)
    control = sum(arm == "control" for _ in range(2000) for *_, arm in choose_pairs(prompts, "sea", 0.25, source))
    assert control / 2000 == pytest.approx(0.75, abs=0.04)


def test_control_pairs_do_not_depend_on_the_draws() -> None:
    """The best answer of each prompt is its first; a random pair begins there one time in four."""
    draws = np.tile([9.0, 0.0, 0.0, 0.0], (5, 1))
    picked = choose_pairs([draws] * 4000, "sea", 0.5, rng(3))
    starts = [i == 0 for _, i, _, arm in picked if arm == "control"]
    assert np.mean(starts) == pytest.approx(0.25, abs=0.04)
    assert all(i == 0 for _, i, _, arm in picked if arm == "active")


def test_every_pair_of_the_random_rule_is_control() -> None:
    assert {arm for *_, arm in choose_pairs([np.zeros((1, 3))] * 5, "random", 0.1, rng())} == {"control"}


def test_a_limit_takes_prompts_at_random_and_each_once() -> None:
    prompts = [np.zeros((2, 2))] * 100
    chosen = [k for k, *_ in choose_pairs(prompts, "sea", 0.25, rng(4), limit=30)]
    assert len(set(chosen)) == 30
    assert max(chosen) > 60


def test_a_prompt_with_one_candidate_is_passed_over() -> None:
    picked = choose_pairs([np.zeros((2, 1)), np.zeros((2, 2))], "sea", 0.0, rng(), limit=1)
    assert [k for k, *_ in picked] == [1]


def test_the_same_seed_chooses_the_same() -> None:
    prompts = [rng(k).normal(size=(8, 4)) for k in range(20)]
    assert choose_pairs(prompts, "sea", 0.25, rng(9)) == choose_pairs(prompts, "sea", 0.25, rng(9))
