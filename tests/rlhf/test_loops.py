from __future__ import annotations

from typing import Any

import pytest

from feedback import aggregation, assigning, judging
from feedback.errors import BadInput, Conflict
from feedback.models import User
from rlhf import deployments, loops, reward_datasets
from rlhf.models import Base, Loop, RewardDataset, Round, Run
from tests.factories import make_item, make_policy, make_prompt, make_queue, make_user

pytestmark = pytest.mark.django_db


def make_standing_loop(ann: User, *, items: int = 6, **config: Any) -> Loop:
    """A loop over a queue with as many open items, whose base exists."""
    Base.objects.get_or_create(name="toy", defaults={"digest": "d" * 64})
    queue = make_queue(members=(ann,))
    for _ in range(items):
        make_item(queue, prompt=make_prompt(metadata={"workspace": "test"}))
    return loops.create(
        slug=f"loop-{queue.pk}", title="A loop", queue=queue, policy=make_policy(kind="local", base="toy"),
        alias=f"alias-{queue.pk}", config={"every": 5, **config}, prompt_filter={"metadata__workspace": "test"},
    )  # fmt: skip


def vote(loop: Loop, ann: User, times: int) -> None:
    for _ in range(times):
        lease = assigning.claim(queue=loop.queue, annotator=ann)
        assert lease is not None
        judging.judge(assignment_id=lease.pk, annotator=ann, body={"choice": "A"})
    aggregation.gather()


def test_a_new_loop_puts_its_policy_live_and_says_what_it_waits_for() -> None:
    loop = make_standing_loop(make_user())
    assert deployments.live(loop.alias) is not None
    assert loops.tick(loop=loop) == "waiting for 5 more preferences (0 of 5)"


def test_a_round_starts_with_enough_preferences_and_freezes_them_once() -> None:
    ann = make_user()
    loop = make_standing_loop(ann)
    vote(loop, ann, 5)
    for _ in range(3):
        loops.tick(loop=loop)
    assert RewardDataset.objects.count() == 1
    dataset = RewardDataset.objects.get()
    reward_datasets.build(dataset_id=dataset.pk)
    for _ in range(3):
        loops.tick(loop=loop)
    assert list(Run.objects.values_list("kind", flat=True)) == ["reward"]
    assert loops.current(loop).explain.startswith("fitting the reward head")


def test_force_starts_with_what_there_is_but_never_with_nothing() -> None:
    ann = make_user()
    loop = make_standing_loop(ann)
    assert "waiting" in loops.tick(loop=loop, force=True)
    vote(loop, ann, 1)
    assert "freezing" in loops.tick(loop=loop, force=True)


def test_a_failed_run_fails_the_round_in_its_words_and_a_retry_goes_on() -> None:
    ann = make_user()
    loop = make_standing_loop(ann)
    vote(loop, ann, 5)
    loops.tick(loop=loop)
    reward_datasets.build(dataset_id=RewardDataset.objects.get().pk)
    loops.tick(loop=loop)
    Run.objects.update(status="failed", note="the loss is not a number")
    assert loops.tick(loop=loop) == "Reward failed: the loss is not a number"
    round_ = loops.current(loop)
    loops.retry(round_=round_)
    assert (round_.status, Run.objects.get().status) == ("rewarding", "queued")
    assert Run.objects.count() == 1


def test_a_paused_loop_does_nothing() -> None:
    ann = make_user()
    loop = make_standing_loop(ann)
    vote(loop, ann, 5)
    loops.set_active(loop=loop, active=False)
    assert loops.tick(loop=loop) == "This loop is paused."
    assert RewardDataset.objects.count() == 0


def test_a_loop_has_one_open_round_and_every_step_is_timed() -> None:
    ann = make_user()
    loop = make_standing_loop(ann)
    vote(loop, ann, 5)
    loops.tick(loop=loop)
    round_ = Round.objects.get()
    assert [s.name for s in round_.steps.all()] == ["collecting", "gathering"]
    assert round_.steps.get(name="collecting").ended_at is not None


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"everything": 1}, "config.everything"),
        ({"every": 0}, "config.every"),
        ({"draws": 1}, "config.draws"),
        ({"dpo": {"lr": "fast"}}, "config.lr"),
        ({"gate": {"name": "coin"}}, "gate"),
        ({"gate": {"alfa": 0.1}}, "gate"),
    ],
)
def test_a_bad_config_is_refused_by_field(config: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as caught:
        loops.LoopConfig.parse(config)
    assert caught.value.details["where"] == where


def test_only_a_failed_round_can_be_retried() -> None:
    loop = make_standing_loop(make_user())
    with pytest.raises(Conflict, match="has not failed"):
        loops.retry(round_=loops.current(loop))


def test_each_round_looks_at_draws_of_its_own() -> None:
    config = loops.LoopConfig(draws=4)
    assert list(loops.draws_of(1, config)) == [0, 1, 2, 3]
    assert list(loops.draws_of(2, config)) == [4, 5, 6, 7]
