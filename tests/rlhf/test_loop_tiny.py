"""One whole turn on the tiny model: real sampling, a real head, real DPO by TRL, votes by a hidden reward."""

from __future__ import annotations

import random

import pytest

from feedback import aggregation, assigning, intake, judging
from feedback.hidden_rewards import REWARDS, simulated_vote
from feedback.models import Item, Judgment, Prompt, Queue, User
from rlhf import deployments, gates, loops, reward_datasets, runs, sampling, selection
from rlhf.models import Loop, RewardDataset, Round, Run
from rlhf.tiny_corpus import tiny_prompts
from tests.factories import make_member, make_policy, make_queue, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
REWARD = REWARDS["polite_tiny"]


def work() -> None:
    """What the workers would do: everything that waits."""
    aggregation.gather()
    for dataset in RewardDataset.objects.filter(status="queued"):
        reward_datasets.build(dataset_id=dataset.pk)
    for run in Run.objects.filter(status="queued").order_by("created_at"):
        done = runs.execute(run_id=run.pk)
        assert done.status == "done", (done.kind, done.note, done.log_tail)


def judge_all(queue: Queue, person: User, rng: random.Random, limit: int = 1000) -> int:
    """Judge what is there as somebody would who holds the hidden reward and errs one time in ten."""
    for n in range(limit):
        lease = assigning.claim(queue=queue, annotator=person) if queue.status == "open" else None
        if lease is None:
            return n
        shown = [lease.item.ordered_responses()[p].content for p in lease.order]
        a, b = (REWARD(lease.item.prompt.last_turn, text) for text in shown)
        choice = simulated_vote(rng, a, b, noise=0.1, left_bias=0.0)
        judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})
    return limit


def make_world(person: User) -> Loop:
    texts = tiny_prompts(200, seed=5)
    rows = [
        {"messages": [{"role": "user", "content": t}], "split": split, "metadata": {"workspace": "tiny"}}
        for split, part in (("train", texts[:120]), ("gate", texts[120:]))
        for t in part
    ]
    intake.add_prompts(rows=rows)
    runs.start(kind="pretrain", base="tiny", seed=1)
    work()
    decoding = {"temperature": 0.9, "top_p": 1.0, "max_new_tokens": 32}
    policy = make_policy("tiny", kind="local", base="tiny", decoding=decoding)
    queue = make_queue("tiny", demo=True, selection="sea")
    make_member(queue, person, kind="simulated")
    config = {"every": 60, "ask": 40, "gate": {"name": "sprt", "limit": 80}}
    return loops.create(
        slug="tiny", title="Tiny", queue=queue, policy=policy, alias="tiny-live", config=config,
        prompt_filter={"metadata__workspace": "tiny"}, demo=True,
    )  # fmt: skip


def ask_first_pairs(loop: Loop) -> None:
    from feedback import pairing

    policy = deployments.live(loop.alias)
    assert policy is not None
    prompts = list(Prompt.objects.filter(split="train"))
    sampling.sample(policy=policy, prompts=prompts, draws=range(4), seed=1)
    work()
    answers = sampling.answers(policy, prompts, range(4))
    pools = selection.by_prompt(r for rs in answers.values() for r in rs)
    drafts = [pairing.Draft(pool[0].prompt, pool[:2], arm="control") for pool in pools.values()]
    pairing.add_items(queue=loop.queue, drafts=drafts)


def test_the_circle_closes_once_on_the_tiny_model() -> None:
    person, rng = make_user(), random.Random(7)
    loop = make_world(person)
    ask_first_pairs(loop)
    assert judge_all(loop.queue, person, rng) >= 60
    first = deployments.live(loop.alias)
    work()
    for _ in range(60):
        loops.tick(loop=loop)
        work()
        for queue in Queue.objects.filter(purpose="gate", status="open"):
            judge_all(queue, person, rng)
        round_ = Round.objects.get(loop=loop, number=1)
        assert round_.status != "failed", round_.explain
        if round_.status == "closed":
            break
    check_round(Round.objects.get(loop=loop, number=1), loop, first)


def check_round(round_: Round, loop: Loop, first: object) -> None:
    assert round_.status == "closed"
    assert round_.dataset is not None and round_.dataset.counts["simulated_judgments"] >= 60
    assert round_.reward_run is not None and round_.reward_run.result["figures"]
    decision = round_.decision
    assert decision is not None and decision.status in ("promoted", "refused") and decision.simulated
    assert 0 < decision.figures["n"] <= 80
    live = deployments.live(loop.alias)
    assert live == (decision.candidate if decision.status == "promoted" else first)
    assert gates.sentence(decision).startswith(("Promoted", "Not promoted"))
    assert round_.best_of is not None and round_.best_of.decoding["best_of"] == 4
    asked = Item.objects.filter(queue=loop.queue, status="open")
    arms = set(asked.values_list("arm", flat=True))
    assert {"control", "active"} <= arms <= {"control", "active", "rule"}  # `rule`: pairs of an alarm
    assert Judgment.objects.filter(queue=decision.queue).count() >= decision.figures["n"] - decision.figures["halves"]
    assert Run.objects.filter(status="done", kind="dpo").count() == 1
