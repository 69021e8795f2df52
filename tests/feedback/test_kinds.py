"""What each kind takes, how it is stored, and which pairs it implies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import BadInput
from feedback.kinds import KINDS, SLOTS, check_rubric, kind_of
from feedback.rubrics import Rubric, parse, score

PLAIN = Rubric()
TWO = parse(
    {"attributes": [{"name": "helpful", "points": 5, "weight": 3}, {"name": "brief", "points": 3, "weight": 1}]}
)


def test_every_kind_of_the_database_is_here() -> None:
    from feedback.models import Queue

    assert set(KINDS) == set(Queue.KINDS)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_choice_is_stored_by_position(order: list[int]) -> None:
    assert kind_of("comparison").answer({"choice": "A"}, order, PLAIN) == {"choice": order[0]}


def test_a_ranking_is_stored_by_position_with_ties() -> None:
    answer = kind_of("ranking").answer({"ranking": [["B"], ["C", "A"]]}, [2, 0, 1], PLAIN)
    assert answer == {"ranking": [[0], [1, 2]]}


def test_a_ranking_of_three_gives_three_pairs_of_weight_one_half() -> None:
    """B first, A and C share second: b over a, b over c, a ties c."""
    pairs = kind_of("ranking").pairs({"ranking": [[1], [0, 2]]}, 3)
    assert [tuple(p) for p in pairs] == [(0, 1, "b", 0.5), (0, 2, "tie", 0.5), (1, 2, "a", 0.5)]


def test_all_bad_is_both_bad_on_every_pair() -> None:
    answer = kind_of("ranking").answer({"choice": "all_bad"}, [1, 0, 2], PLAIN)
    assert [p.outcome for p in kind_of("ranking").pairs(answer, 3)] == ["both_bad"] * 3


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_a_strict_ranking_implies_the_same_pairs_whatever_order_was_shown(best: list[int], order: list[int]) -> None:
    """k answers give k(k-1)/2 pairs, of weight 1/(k-1) each, so that an answer weighs one in all."""
    slots = [[SLOTS[order.index(position)]] for position in best]
    answer = kind_of("ranking").answer({"ranking": slots}, order, PLAIN)
    pairs = kind_of("ranking").pairs(answer, 5)
    assert len(pairs) == 10 and {p.weight for p in pairs} == {0.25}
    assert all(p.outcome == ("a" if best.index(p.a) < best.index(p.b) else "b") for p in pairs)


def test_the_score_of_a_rating_is_the_weighted_mean_of_its_attributes() -> None:
    """helpful 4 of 5 is .75 with weight 3, brief 1 of 3 is 0 with weight 1: 2.25 / 4 = .5625."""
    assert score({"helpful": 4, "brief": 1}, TWO) == 0.5625


def test_ratings_of_two_answers_compare_by_weighted_score() -> None:
    body = {"ratings": {"A": {"helpful": 5, "brief": 1}, "B": {"helpful": 4, "brief": 3}}}
    answer = kind_of("rating").answer(body, [1, 0], TWO)
    assert answer["ratings"][1] == {"helpful": 5, "brief": 1}
    assert answer["scores"] == [0.8125, 0.75]
    assert [tuple(p) for p in kind_of("rating").pairs(answer, 2)] == [(0, 1, "a", 1.0)]


def test_a_rating_of_one_answer_needs_no_slot_and_implies_no_pair() -> None:
    answer = kind_of("rating").answer({"ratings": {"helpful": 5, "brief": 3}}, [0], TWO)
    assert answer == {"ratings": [{"helpful": 5, "brief": 3}], "scores": [1.0]}
    assert kind_of("rating").pairs(answer, 1) == []


def test_a_rating_without_a_rubric_asks_for_quality_of_five_points() -> None:
    assert kind_of("rating").answer({"ratings": {"quality": 3}}, [0], PLAIN)["scores"] == [0.5]


def test_thumbs_imply_no_pairs() -> None:
    answer = kind_of("thumbs").answer({"thumb": "up"}, [0], PLAIN)
    assert answer == {"thumb": "up"} and kind_of("thumbs").pairs(answer, 1) == []


def test_an_edit_beats_its_original_unless_it_was_good_as_it_is() -> None:
    edit = kind_of("edit")
    assert [tuple(p) for p in edit.pairs(edit.answer({"content": "better"}, [0], PLAIN), 1)] == [(0, 1, "b", 1.0)]
    assert edit.pairs(edit.answer({"choice": "as_it_is"}, [0], PLAIN), 1) == []


@pytest.mark.parametrize(
    ("slug", "body", "where"),
    [
        ("comparison", {}, "choice"),
        ("comparison", {"choice": "C"}, "choice"),
        ("comparison", {"choice": ["A"]}, "choice"),
        ("comparison", {"choice": ""}, "choice"),
        ("ranking", {}, "ranking"),
        ("ranking", {"ranking": [["A"]]}, "ranking"),
        ("ranking", {"ranking": [["A"], ["A"]]}, "ranking"),
        ("ranking", {"ranking": [["A"], ["B"], []]}, "ranking"),
        ("ranking", {"ranking": [["A"], [1]]}, "ranking"),
        ("ranking", {"ranking": "AB"}, "ranking"),
        ("rating", {}, "ratings"),
        ("rating", {"ratings": {"A": {"helpful": 1, "brief": 1}}}, "ratings"),
        ("rating", {"ratings": {"A": {"helpful": 6, "brief": 1}, "B": {"helpful": 1, "brief": 1}}}, "ratings.A"),
        ("rating", {"ratings": {"A": {"helpful": True, "brief": 1}, "B": {"helpful": 1, "brief": 1}}}, "ratings.A"),
        ("rating", {"ratings": {"A": {"helpful": 1}, "B": {"helpful": 1, "brief": 1}}}, "ratings.A"),
        ("thumbs", {"thumb": "sideways"}, "thumb"),
        ("thumbs", {"thumb": []}, "thumb"),
        ("edit", {"content": "  "}, "content"),
        ("edit", {"content": 5}, "content"),
    ],
)
def test_a_bad_answer_names_its_field(slug: str, body: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as caught:
        kind_of(slug).answer(body, [0, 1], TWO)
    assert caught.value.details["where"].startswith(where)


def test_ratings_agree_within_a_point() -> None:
    rating = kind_of("rating")
    three, four, five = ({"ratings": [{"helpful": n}]} for n in (3, 4, 5))
    assert rating.agrees(three, four) and not rating.agrees(three, five)


@pytest.mark.parametrize(
    ("rubric", "where"),
    [
        ([], "rubric"),
        ({"colour": 1}, "rubric.colour"),
        ({"attributes": []}, "rubric.attributes"),
        ({"attributes": [{"name": "Good one"}]}, "rubric.attributes[0].name"),
        ({"attributes": [{"name": "a", "points": 2}]}, "rubric.attributes[0].points"),
        ({"attributes": [{"name": "a", "weight": 0}]}, "rubric.attributes[0].weight"),
        ({"attributes": [{"name": "a"}, {"name": "a"}]}, "rubric.attributes"),
        ({"flags": ["rude", 7]}, "rubric.flags[1]"),
        ({"rationale": "always"}, "rubric.rationale"),
        ({"examples": [{"prompt": "", "responses": ["a", "b"], "answer": {}}]}, "rubric.examples[0].messages[0]"),
        ({"examples": [{"prompt": "q", "responses": ["a"], "answer": {"choice": "A"}}]}, "rubric.examples[0].resp"),
        ({"examples": [{"prompt": "q", "responses": ["a", "b"], "answer": {"choice": "Z"}}]}, "rubric.examples[0].an"),
    ],
)
def test_a_bad_rubric_names_the_place(rubric: Any, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_rubric("comparison", rubric)
    assert caught.value.details["where"].startswith(where)
