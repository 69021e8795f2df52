"""Simulated people close a round of a demo loop."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from api import demo_crowd
from api.models import Token
from feedback import aggregation
from feedback.errors import Conflict
from feedback.models import Assignment, Judgment, Queue
from feedback.simulated_people import Habits
from rlhf import bases, demo_workspace, loops, reward_datasets, runs
from rlhf.models import Base, Loop, RewardDataset, Round, RoundStep, Run
from tests.factories import make_item, make_policy, make_queue


def make_plan(**fields) -> demo_crowd.Plan:
    values = {"loop": "quick", "habits": Habits("polite_tiny"), "judgments": 4, **fields}
    return demo_crowd.Plan(**values)


def make_loop(slug: str = "quick", *, items: int = 8) -> Loop:
    Base.objects.get_or_create(name="toy", defaults={"digest": "d" * 64})
    queue = make_queue(slug, demo=True)
    for _ in range(items):
        make_item(queue)
    policy = make_policy(kind="local", base="toy")
    return loops.create(slug=slug, title="Toy", queue=queue, policy=policy, alias=slug, config={"every": 4}, demo=True)


def close(round_: Round) -> None:
    Round.objects.filter(pk=round_.pk).update(status="closed", closed_at=timezone.now())
    RoundStep.objects.filter(round=round_).update(ended_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_people_label_as_much_as_planned_and_each_step_is_told(live_server):
    loop, said = make_loop(), []
    demo_crowd.close_round(
        plan=make_plan(), url=live_server.url, say=said.append, wait=lambda: close(loop.rounds.get())
    )
    assert Judgment.objects.filter(queue=loop.queue, author_kind="simulated").count() == 4
    assert not Assignment.objects.filter(status="leased").exists()
    assert not Token.objects.filter(revoked_at__isnull=True).exists()
    assert "quick: Collect" in said
    assert any(line.startswith("quick: Collect took") for line in said)


@pytest.mark.django_db
def test_a_loop_that_has_closed_a_round_is_left_as_it_is():
    loop, said = make_loop(), []
    close(loop.rounds.get())
    demo_crowd.close_round(plan=make_plan(), url="http://nowhere", say=said.append)
    assert said == ["quick: round 1 is closed already"]


@pytest.mark.django_db(transaction=True)
def test_a_failed_step_ends_it_with_the_reason(live_server):
    loop = make_loop()
    explain = "Train failed: the loss is not a number"
    Round.objects.filter(loop=loop).update(status="failed", failed_step="training", explain=explain)
    with pytest.raises(Conflict, match="the loss is not a number"):
        demo_crowd.close_round(plan=make_plan(), url=live_server.url, say=lambda line: None)


@pytest.mark.django_db
def test_a_model_that_cannot_be_made_ends_the_wait():
    loop = make_loop(items=0)
    Run.objects.create(kind="pretrain", base=loop.base, status="failed", note="no disk space")
    with pytest.raises(Conflict, match="no disk space"):
        demo_crowd.close_round(plan=make_plan(), url="http://nowhere", say=lambda line: None)


@pytest.mark.django_db
def test_without_a_demo_workspace_the_command_says_what_to_do():
    with pytest.raises(CommandError, match="seed_demo"):
        call_command("simulate_demo", "--url", "http://nowhere")


@pytest.mark.django_db(transaction=True)
def test_the_loop_waits_for_all_planned_labels(live_server, monkeypatch):
    loop, seen = make_loop(), []
    real = demo_crowd.work

    def watching(**options):
        seen.append(loops.tick(loop=Loop.objects.get()))
        return real(**options)

    monkeypatch.setattr(demo_crowd, "work", watching)
    demo_crowd.close_round(
        plan=make_plan(judgments=6), url=live_server.url, say=print, wait=lambda: close(loop.rounds.get())
    )
    assert seen == ["This loop is paused."]
    assert Loop.objects.get().status == "active"
    assert Judgment.objects.count() == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_the_quick_loop_closes_a_round_on_the_real_tiny_model(live_server):
    demo_workspace.seed()
    loop = Loop.objects.get(slug="quick")

    def turn_the_crank() -> None:
        """What workers and beat would do."""
        aggregation.gather()
        for dataset in RewardDataset.objects.filter(status="queued"):
            reward_datasets.build(dataset_id=dataset.pk)
        for run in Run.objects.filter(status="queued").exclude(base=bases.STARTER).order_by("created_at"):
            done = runs.execute(run_id=run.pk)
            assert done.status == "done", (done.kind, done.note, done.log_tail)
        loops.tick(loop=loop)

    round_ = demo_crowd.close_round(plan=demo_crowd.PLANS[0], url=live_server.url, say=print, wait=turn_the_crank)
    assert round_.status == "closed" and round_.number == 1
    assert round_.dataset is not None and round_.dataset.simulated
    assert round_.decision is not None and round_.decision.status in ("promoted", "refused")
    assert Queue.objects.get(slug="quick").items.filter(status="open").exists()
    assert demo_crowd.summary(round_)[-1].strip().startswith(("Promoted", "Not promoted"))
