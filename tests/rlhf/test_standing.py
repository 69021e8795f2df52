"""The standing order: what starts a round, what ends the money, what pauses it, and what the figure counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback.errors import BadInput, Conflict
from feedback.models import Event, Item
from rlhf import alarms, budgets, loops, triggers, worth, yardstick
from rlhf.models import Alarm, Decision, DeploymentChange, Loop, Round, Run
from rlhf.worth_figure import figure
from tests.factories import make_item, make_member, make_policy, make_prompt, make_response, make_user
from tests.factories_rlhf import make_deployment, make_loop, make_round, make_vote, vote
from tests.rlhf.test_loops import make_standing_loop
from tests.rlhf.test_loops import vote as vote_in

pytestmark = pytest.mark.django_db


def test_the_hour_starts_a_round_with_fewer_preferences_but_never_with_none() -> None:
    ann = make_user()
    loop = make_standing_loop(ann, hours=2.0, least=2)
    Round.objects.filter(loop=loop).update(created_at=timezone.now() - timedelta(hours=3))
    assert "with at least 2" in loops.tick(loop=loop)
    vote_in(loop, ann, 2)
    assert "freezing" in loops.tick(loop=loop)
    why = loops.current(loop).facts["trigger"]
    assert why == "2 hours have passed since the last round began, with 2 new preferences"


def test_before_the_hour_the_number_alone_starts_a_round() -> None:
    ann = make_user()
    loop = make_standing_loop(ann, hours=2.0, least=1)
    vote_in(loop, ann, 4)
    assert loops.tick(loop=loop).startswith("waiting for 1 more preferences (4 of 5), or for ")
    vote_in(loop, ann, 1)
    assert "freezing" in loops.tick(loop=loop)


def test_the_schedule_counts_from_the_start_of_the_last_round() -> None:
    loop = make_loop()
    first = make_round(loop, status="closed")
    began = timezone.now() - timedelta(hours=5)
    first.steps.create(name="gathering", started_at=began)
    assert triggers.at(make_round(loop, number=2), 24) == began + timedelta(hours=24)


@pytest.mark.parametrize(
    ("budget", "told"),
    [({"labels": 3}, "3 labels of 3"), ({"money": 1.0, "per_label": 0.5}, "1.5 of money of 1")],
)
def test_a_loop_that_has_used_up_its_budget_pauses_and_says_so(budget: dict[str, Any], told: str) -> None:
    ann = make_user()
    loop = make_standing_loop(ann, budget=budget)
    assert "waiting" in loops.tick(loop=loop)
    vote_in(loop, ann, 3)
    assert loops.tick(loop=loop) == f"Paused: the budget is used up: {told}."
    loop.refresh_from_db()
    assert loop.status == "paused"
    assert Event.objects.filter(verb="loop.paused").latest("pk").after == {"budget": f"the budget is used up: {told}"}


def test_machine_hours_are_those_of_the_loops_own_runs() -> None:
    loop = make_loop()
    now = timezone.now()
    mine = Run.objects.create(kind="reward", started_at=now - timedelta(hours=2), finished_at=now)
    Run.objects.create(kind="reward", started_at=now - timedelta(hours=9), finished_at=now)
    make_round(loop, reward_run=mine)
    limits = budgets.Budget(hours=2, per_hour=3.0)
    assert budgets.spent(loop, limits) == budgets.Spent(0, 2.0, 6.0)
    assert budgets.used_up(loop, limits) == "the budget is used up: 2 machine hours of 2"


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"budget": {"tea": 1}}, "config.budget.tea"),
        ({"budget": {"labels": -1}}, "config.budget.labels"),
        ({"budget": {"money": 5}}, "config.budget.money"),
        ({"hours": "daily"}, "config.hours"),
        ({"yardstick": -1}, "config.yardstick"),
    ],
)
def test_a_bad_standing_order_is_refused_by_field(config: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as caught:
        loops.LoopConfig.parse(config)
    assert caught.value.details["where"] == where


def make_decided(*, wins: int, losses: int, predicted: float, loop: Loop | None = None, number: int = 1) -> Round:
    decision = make_vote(wins=wins, losses=losses, prompts=wins + losses)
    decision.figures |= {"predicted": {"value": predicted}, "median_length": {"candidate": 300, "live": 100}}
    Decision.objects.filter(pk=decision.pk).update(figures=decision.figures)
    loop = loop or make_loop(alias=decision.alias)
    return make_round(loop, number=number, decision=decision, live=decision.live, status="asking")


def test_predicted_up_while_people_are_flat_pauses_the_loop() -> None:
    round_ = make_decided(wins=12, losses=13, predicted=0.71)
    raised = alarms.sound(round_, alarms.examine(round_))
    assert [(a.kind, a.severity) for a in raised] == [("overpaid", "serious")]
    assert raised[0].sentence.startswith("The reward model predicts 71% for the candidate, people 48%")
    assert Loop.objects.get(pk=round_.loop_id).status == "paused"
    assert Event.objects.filter(verb="alarm.raised").count() == 1
    assert alarms.sound(round_, alarms.examine(round_)) == []


def test_a_prediction_that_people_bear_out_is_no_alarm() -> None:
    assert alarms.examine(make_decided(wins=12, losses=13, predicted=0.55)) == []


def test_a_paused_loop_starts_again_once_somebody_has_looked_at_the_alarm() -> None:
    round_ = make_decided(wins=12, losses=13, predicted=0.9)
    (alarm,) = alarms.sound(round_, alarms.examine(round_))
    loop = Loop.objects.get(pk=round_.loop_id)
    with pytest.raises(Conflict, match="close it first"):
        loops.set_active(loop=loop, active=True)
    with pytest.raises(BadInput, match="note"):
        alarms.close(alarm=alarm, actor=make_user(), note=" ")
    alarms.close(alarm=alarm, actor=make_user(), note="it likes long lists")
    assert loops.set_active(loop=loop, active=True).status == "active"


def test_an_alarm_about_an_alias_recalls_its_canary() -> None:
    deployment = make_deployment(alias="shop")
    from rlhf import deployments

    deployments.start_canary(policy=make_policy(), share=0.1, alias="shop", reason="a look")
    alarms.raise_alarm(kind="production", severity="warning", sentence="A little slower.", alias="shop")
    deployment.refresh_from_db()
    assert deployment.canary is not None
    alarms.raise_alarm(kind="production", severity="serious", sentence="Twice as many refusals.", alias="shop")
    deployment.refresh_from_db()
    assert deployment.canary is None


def test_a_candidate_that_repeats_itself_is_an_alarm() -> None:
    round_ = make_decided(wins=12, losses=13, predicted=0.5)
    assert round_.decision is not None
    from feedback.models import Response

    mine = [e["candidate"] for e in round_.decision.entries[:10]]
    Response.objects.filter(key__in=mine).update(content="and so it goes on and on and so it goes on and on " * 4)
    assert [f.kind for f in alarms.examine(round_)] == ["repetition"]


def make_yardstick(*, votes: list[int | str], open_ones: int = 0) -> Round:
    """A round whose candidate met the first policy on dev prompts; votes by position, 0 is the candidate."""
    judge, loop = make_user(), make_loop()
    make_member(loop.queue, judge)
    first = make_policy()
    decision = make_vote(wins=3, losses=20, prompts=30)
    DeploymentChange.objects.create(deployment=make_deployment(first, alias=loop.alias), policy=first)
    make_round(loop, status="closed", live=first)
    entries = []
    for n in range(len(votes) + open_ones):
        prompt = make_prompt(split="dev")
        item = make_item(loop.queue, prompt=prompt, texts=(f"new {n}", f"old {n}"), arm="rule")
        entries.append({"prompt": prompt.key, "item": str(item.key)})
    for said in votes:
        vote(loop.queue, judge, said)
    return make_round(
        loop, number=2, decision=decision, live=decision.live, status="closed", facts={"yardstick": entries}
    )


def test_the_yardstick_reads_votes_in_drawn_order_up_to_the_first_open_one() -> None:
    assert yardstick.votes(make_yardstick(votes=[0, 1, "tie"], open_ones=2)) == [1.0, 0.0, 0.5]


def test_equal_answers_on_the_yardstick_count_one_half_without_a_vote() -> None:
    round_ = make_yardstick(votes=[0])
    round_.facts["yardstick"].insert(0, {"prompt": "x", "item": None})
    assert yardstick.votes(round_) == [0.5, 1.0]


def test_the_figure_counts_every_judgment_by_what_it_was_for() -> None:
    round_ = make_yardstick(votes=[0, 0, 1])
    (point,) = worth.points(round_.loop)
    assert point.spent == {"train": 0, "control": 0, "gold": 0, "gate": 23, "measuring": 3}
    assert (point.labels, point.y, point.votes) == (26, pytest.approx(2 / 3), 3)
    assert point.measured_by == "the yardstick"
    assert point.low < point.y < point.high


def test_a_first_round_is_measured_by_its_own_decision_and_a_refusal_says_why() -> None:
    round_ = make_decided(wins=12, losses=13, predicted=0.71)
    assert round_.decision is not None
    (point,) = worth.points(round_.loop)
    f = round_.decision.figures
    assert point.y == pytest.approx(f["score"] / f["n"])
    assert point.measured_by == "the decision"
    low, high = round(100 * f["low"]), round(100 * f["high"])
    assert point.reason == f"predicted 71%, people {f['share']:.0%} [{low}, {high}]: longer, not better"


def test_the_picture_fills_what_was_promoted_and_leaves_refused_ones_off_the_line() -> None:
    base = {"low": 0.4, "high": 0.8, "votes": 40, "reason": "", "spent": {"train": 50, "gate": 50}}
    points = [
        base | {"round": 1, "labels": 100, "status": "promoted", "y": 0.7},
        base | {"round": 2, "labels": 200, "status": "refused", "y": 0.5, "reason": "no"},
    ]
    drawn = figure(points, random=[(0, 0.5, 0.0), (200, 0.6, 0.02)], truth=[0.6, 0.6], simulated=True)
    assert [m["promoted"] for m in drawn["marks"]] == [True, False]
    assert drawn["title"].endswith("(simulated people)")
    *_, last = drawn["path"].split()
    assert last.split(",")[1] == str(drawn["marks"][0]["y"])  # what is live stays at round 1's height
    assert len(drawn["truth"].split()) == 5
    assert sum(cell["count"] for cell in drawn["strip"] if cell["round"] == 1) == 100


def test_the_yardstick_puts_the_candidate_first_and_asks_on_dev_prompts_only() -> None:
    round_ = make_decided(wins=3, losses=20, predicted=0.5)
    first = make_policy()
    make_round(round_.loop, number=0, status="closed", live=first)
    for n in range(4):
        prompt = make_prompt(split="dev")
        for policy in (round_.decision.candidate, first):  # type: ignore[union-attr]
            make_response(prompt, f"{policy.slug} says {n}", policy=policy)
    made = yardstick.put(round_, 3)
    items = Item.objects.filter(key__in=[e["item"] for e in made])
    assert items.count() == 3
    assert set(items.values_list("prompt__split", "arm")) == {("dev", "rule")}
    assert all(i.ordered_responses()[0].policy == round_.decision.candidate for i in items)  # type: ignore[union-attr]
    assert Alarm.objects.count() == 0
