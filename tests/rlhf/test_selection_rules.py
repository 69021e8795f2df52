"""Choosing pairs: known answers, and a control arm that is really random."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from rlhf.selection_rules import RULES, choose_pairs, pick_pair


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


def test_double_thompson_asks_about_two_favourites() -> None:
    """Answer 2 is nobody's favourite; 0 and 1 are, under one draw each."""
    draws = np.array([[9.0, 0.0, 1.0], [0.0, 9.0, 0.5]])
    assert {frozenset(pick_pair("dts", draws, rng(seed))) for seed in range(50)} == {frozenset({0, 1})}


def test_double_thompson_takes_any_other_answer_where_all_draws_agree() -> None:
    seconds = {pick_pair("dts", np.array([[5.0, 1.0, 0.0]]), rng(seed)) for seed in range(50)}
    assert seconds == {(0, 1), (0, 2)}


def test_drts_asks_about_the_best_and_the_worst() -> None:
    draws = np.array([[5.0, 1.0, -4.0], [6.0, 0.0, -3.0]])
    assert {pick_pair("drts", draws, rng(seed)) for seed in range(20)} == {(0, 2)}


def test_infomax_asks_where_the_draws_disagree_about_the_outcome() -> None:
    """0 against 1 is 3 one way or 3 the other; 2 is beaten by both for certain, however far apart they are."""
    draws = np.array([[3.0, 0.0, -20.0], [0.0, 3.0, -20.0]])
    assert pick_pair("infomax", draws, rng()) == (0, 1)


def test_d_optimal_weighs_spread_by_how_open_the_outcome_is() -> None:
    """R0 - R2 has the larger variance, but is decided in either draw; R0 - R1 is open."""
    draws = np.array([[1.0, 0.0, -9.0], [-1.0, 0.0, -14.0]])
    assert pick_pair("dopt", draws, rng()) == (0, 1)


def test_d_optimal_asks_something_else_once_a_pair_of_the_batch_will_tell() -> None:
    """Two prompts carry the same open question A and a second one B, a little smaller: the batch asks both."""
    source = np.random.default_rng(0)
    a, b = source.normal(0, 3.0, 400), source.normal(0, 2.5, 400)
    table = np.stack([a, np.zeros(400), b + 50, np.full(400, 50.0)], axis=1)
    asked = {frozenset((i, j)) for _, i, j, _ in choose_pairs([table, table], "dopt", 0.0, rng())}
    assert asked == {frozenset({0, 1}), frozenset({2, 3})}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_two_different_answers(rule: str) -> None:
    source = rng(5)
    for _ in range(30):
        i, j = pick_pair(rule, source.normal(size=(6, 4)), source)
        assert i != j
        assert {i, j} <= set(range(4))


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
