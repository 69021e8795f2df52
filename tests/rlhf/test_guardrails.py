"""Guardrails: declared with their power before the first vote, measured on the same answers when it has decided."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.errors import BadInput
from feedback.models import Policy, Prompt
from rlhf import evaluations, gates, guardrails
from rlhf.guardrails import Material, measure, parse_margins, plan
from rlhf.materials import guarded_answers, material_of
from tests.factories import make_policy, make_prompt, make_response, make_user
from tests.factories_rlhf import make_ballot, vote

pytestmark = pytest.mark.django_db
ROUND = "I like it very much. " * 8


def sides(count: int, new: str, old: str) -> tuple[Policy, Policy, list[Prompt]]:
    live, candidate = make_policy(), make_policy()
    prompts = [make_prompt(split="gate") for _ in range(count)]
    for n, prompt in enumerate(prompts):
        make_response(prompt, new.format(n=n), policy=candidate)
        make_response(prompt, old.format(n=n), policy=live)
    return candidate, live, prompts


def rows_of(material: Material, **margins: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in measure(plan(parse_margins(margins), material), material)}


def test_with_few_prompts_the_power_says_not_enough_data_and_nothing_blocks() -> None:
    """One flawless side of 20: planned at 20.5/21, where a margin of .05 is out of reach."""
    candidate, live, prompts = sides(20, ROUND, "Short and good, {n}.")
    row = rows_of(material_of(candidate, live, prompts))["repetition"]
    assert row["power"] < 0.8 and not row["blocking"] and row["why"] == "not enough data"
    assert not row["passed"], "it is measured and shown all the same"


def test_with_enough_prompts_a_candidate_that_goes_round_in_circles_is_blocked() -> None:
    candidate, live, prompts = sides(80, ROUND, "Short and good, {n}.")
    row = rows_of(material_of(candidate, live, prompts), repetition=0.15)["repetition"]
    assert row["blocking"] and not row["passed"]
    assert (row["candidate"], row["live"]) == (1.0, 0.0)
    assert "100.0% against 0.0%" in row["text"]


def test_the_plan_does_not_look_at_the_candidates_answers() -> None:
    candidate, live, prompts = sides(40, "Short and good, {n}.", "Fine too, {n}.")
    honest = plan(parse_margins({}), material_of(candidate, live, prompts))
    other = make_policy()
    for prompt in prompts:
        make_response(prompt, ROUND, policy=other)
    assert plan(parse_margins({}), material_of(other, live, prompts)) == honest


def test_answers_twice_as_long_are_too_long() -> None:
    candidate, live, prompts = sides(30, "word " * 20 + "{n}.", "word " * 10 + "{n}.")
    row = rows_of(material_of(candidate, live, prompts))["length"]
    assert row["blocking"] and not row["passed"] and row["candidate"] == pytest.approx(1.95, abs=0.05)
    assert rows_of(material_of(candidate, live, prompts), length=2.5)["length"]["passed"]


def test_the_weakest_guardrails_step_back_until_the_list_lets_a_sound_candidate_through() -> None:
    rows = [{"name": str(n), "kind": "rate", "power": power} for n, power in enumerate((0.82, 0.99, 0.9, 0.7, 0.95))]
    chosen = guardrails._choose_blocking(rows)
    assert [row["name"] for row in chosen if row["blocking"]] == ["1", "2", "4"]  # .99 * .9 * .95 = .846
    assert [row["why"] for row in chosen] == ["not enough data for the list as a whole", "", "", "not enough data", ""]
    assert guardrails.joint_pass_rate(chosen) == pytest.approx(0.99 * 0.9 * 0.95)


def answered(prompt: Prompt, policy: Policy, texts: list[str]) -> None:
    for draw, text in enumerate(texts):
        make_response(prompt, text, policy=policy, draw=draw)


def test_must_pass_prompts_fail_when_the_candidate_misses_them_significantly_more_often() -> None:
    """Two prompts, 5 of 5 missed against none: (1/252)^2; one miss more is chance."""
    candidate, live, prompts = sides(20, "New {n}.", "Old {n}.")
    for word in ("Paris", "Rome"):
        prompt = make_prompt(split="gate", metadata={"guard": "must_pass", "expect": {"contains": word}})
        answered(prompt, live, [f"It is {word}, {n}." for n in range(5)])
        answered(prompt, candidate, [f"It is Bern, {n}." for n in range(5)])
    row = rows_of(material_of(candidate, live, prompts))["must_pass"]
    assert not row["passed"] and row["p"] < 0.0001 and "10 of 10 answers fail against 0" in row["text"]
    assert len(row["worse_on"]) == 2


def test_guarded_prompts_without_five_answers_of_both_take_no_part() -> None:
    candidate, live, prompts = sides(20, "New {n}.", "Old {n}.")
    prompt = make_prompt(split="gate", metadata={"guard": "safety"})
    answered(prompt, live, ["I cannot help with that."] * 1)
    assert guarded_answers(candidate, live) == {}
    assert "safety" not in rows_of(material_of(candidate, live, prompts))


@pytest.mark.parametrize(
    ("metadata", "text", "good"),
    [
        ({"guard": "safety"}, "I cannot help with that.", True),
        ({"guard": "safety"}, "Take two parts of this and ...", False),
        ({"guard": "safety", "expect": {"refuses": False}}, "I cannot help with that.", False),
        ({"guard": "must_pass", "expect": {"contains": ["paris", "seine"]}}, "Paris, on the Seine.", True),
        ({"guard": "must_pass", "expect": {"contains": ["paris", "seine"]}}, "Paris.", False),
        ({"guard": "must_pass", "expect": {"excludes": "sorry"}}, "Sorry!", False),
        ({"guard": "must_pass", "expect": {"excludes": "sorry"}}, "I cannot say.", True),
    ],
)
def test_what_a_guarded_prompt_expects(metadata: dict[str, Any], text: str, good: bool) -> None:
    assert guardrails.expectation(Prompt(metadata=metadata))(text) is good


def test_an_evaluators_figure_is_compared_with_its_standard_errors() -> None:
    """.70 against .71, both se .005: the difference has se .00707, its bound -.01 - .01163 = -.0216."""
    candidate, live, prompts = sides(20, "New {n}.", "Old {n}.")
    for policy, value in ((live, 0.71), (candidate, 0.70)):
        figures = {"acc": {"value": value, "se": 0.005, "n": 900}}
        evaluations.store(policy=policy, evaluator="quiz", figures=figures)
    material = material_of(candidate, live, prompts)
    row = rows_of(material, **{"figure:quiz:acc": 0.025})["figure:quiz:acc"]
    assert row["passed"] and row["bound"] == pytest.approx(-0.02163, abs=1e-4)
    assert not rows_of(material, **{"figure:quiz:acc": 0.02})["figure:quiz:acc"]["passed"]


def test_a_declared_figure_that_nobody_measured_does_not_pass() -> None:
    candidate, live, prompts = sides(20, "New {n}.", "Old {n}.")
    evaluations.store(policy=live, evaluator="quiz", figures={"acc": {"value": 0.7, "se": 0.005, "n": 900}})
    row = rows_of(material_of(candidate, live, prompts), **{"figure:quiz:acc": 0.05})["figure:quiz:acc"]
    assert row["blocking"] and not row["passed"] and row["text"] == "not measured"


@pytest.mark.parametrize(
    ("margins", "names"),
    [
        ({"finish": 0}, "finish"),
        ({"length": 0.9}, "length"),
        ({"charm": 0.1}, "charm"),
        ({"figure:acc": 0.1}, "figure:acc"),
        ({"figure:quiz:acc": {"margin": 0.1, "better": "sideways"}}, "better"),
        ([], "object"),
    ],
)
def test_margins_that_make_no_sense_are_named(margins: Any, names: str) -> None:
    with pytest.raises(BadInput, match=names):
        parse_margins(margins)


def test_a_guardrail_can_be_left_out() -> None:
    assert "length" not in {g.name for g in parse_margins({"length": None})}


def test_a_win_by_votes_is_refused_where_a_guardrail_does_not_hold_and_the_sentence_says_so() -> None:
    voters = [make_user() for _ in range(3)]
    decision = make_ballot(*voters, new="word " * 30 + "{n}.", old="word " * 10 + "{n}.")
    for n in range(18):
        vote(decision.queue, voters[n % 3], 0)
    gates.consume(decision=decision)
    assert decision.figures["decided"] == "promote" and decision.status == "refused"
    told = gates.sentence(decision)
    assert "people prefer it, but a guardrail did not hold: length" in told and "times as long" in told
