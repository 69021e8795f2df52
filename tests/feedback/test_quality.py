"""Figures of a queue against counts made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from feedback import assigning, judging, quality
from feedback.models import Judgment, Queue, User
from feedback.people import figures as people_figures
from tests.factories import make_item, make_member, make_queue, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def vote(queue: Queue, user: User, position: int | str, **body: Any) -> Judgment:
    """A judgment for the response at `position`, whichever side it is shown on."""
    lease = assigning.claim(queue=queue, annotator=user)
    assert lease is not None
    choice = position if isinstance(position, str) else "AB"[lease.order.index(position)]
    return judging.judge(assignment_id=lease.pk, annotator=user, body={"choice": choice, **body}).judgment


@pytest.fixture
def queue() -> Queue:
    queue = make_queue(overlap=2)
    for _ in range(4):
        make_item(queue)
    return queue


def people(queue: Queue, *names: str, kind: str = "human") -> list[User]:
    users = [make_user(name) for name in names]
    for user in users:
        make_member(queue, user, kind=kind)
    return users


def test_alpha_and_raw_agreement_of_a_known_example(queue: Queue) -> None:
    """Two people, four items: 0 0 1 tie against 0 1 1 tie. Three of four agree; the answers pooled are
    0:3, 1:3, tie:2. Observed disagreement 2/8; expected 42/56; alpha = 1 - .25/.75 = 2/3."""
    ann, bob = people(queue, "ann", "bob")
    for first, second in ((0, 0), (0, 1), (1, 1), ("tie", "tie")):
        vote(queue, ann, first), vote(queue, bob, second)
    found = quality.queue_stats(queue)["agreement"]
    assert (found["n"], found["raw"], found["alpha"]) == (4, 0.75, 0.6667)


def test_agreement_by_chance_alone_is_undefined_not_perfect(queue: Queue) -> None:
    ann, bob = people(queue, "ann", "bob")
    vote(queue, ann, 0), vote(queue, bob, 0)
    found = quality.queue_stats(queue)["agreement"]
    assert found["alpha"] is None and found["raw"] == 1 and found["reason"]


def test_a_withdrawn_judgment_leaves_every_figure(queue: Queue) -> None:
    (ann,) = people(queue, "ann")
    judgment = vote(queue, ann, 0, duration_ms=1000)
    judging.withdraw_rows(Judgment.objects.filter(pk=judgment.pk), reason="test", actor=None)
    found = quality.queue_stats(queue)
    assert found["judgments"] == 0 and found["left_pick_rate"]["n"] == 0 and found["annotators"] == []


def test_people_and_simulated_people_do_not_mix(queue: Queue) -> None:
    (ann,), (bot,) = people(queue, "ann"), people(queue, "bot", kind="simulated")
    vote(queue, ann, "tie")
    for _ in range(3):
        vote(queue, bot, 0)
    found = quality.queue_stats(queue)
    assert found["judgments_by_kind"] == {"human": 1, "simulated": 3} and found["about"] == "human"
    assert found["left_pick_rate"]["n"] == 0, "ann picked no side; what the machine picked is not hers"
    assert {row["username"]: row["kind"] for row in found["annotators"]} == {"ann": "human", "bot": "simulated"}


def test_a_tie_is_neither_left_nor_right(queue: Queue) -> None:
    (ann,) = people(queue, "ann")
    shown = [vote(queue, ann, answer).evidence.get("slot") for answer in (0, 1, "tie", "both_bad")]
    found = quality.queue_stats(queue)["left_pick_rate"]
    assert found["n"] == 2 and found["value"] == shown.count("A") / 2
    assert found["low"] < found["value"] <= found["high"] or found["value"] == 0


def test_gold_accuracy_compares_by_position(queue: Queue) -> None:
    gold = make_item(make_queue("gold"), gold={"choice": "B"})
    for answer in (1, 0, "tie"):
        Judgment.objects.create(item=gold, queue=gold.queue, answer={"choice": answer}, author_kind="human")
    found = quality.queue_stats(gold.queue)
    assert (found["gold_accuracy"]["value"], found["gold_accuracy"]["n"]) == (0.3333, 3)
    assert found["agreement"]["n"] == 0, "gold measures people; it is no agreement"


def test_skips_stand_beside_judgments(queue: Queue) -> None:
    (ann,) = people(queue, "ann")
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    assigning.skip(assignment_id=lease.pk, annotator=ann)
    vote(queue, ann, 0, duration_ms=2000), vote(queue, ann, 0, duration_ms=8000)
    (row,) = quality.queue_stats(queue)["annotators"]
    assert (row["judgments"], row["skipped"], row["median_seconds"]) == (2, 1, 5.0)


def test_passing_on_what_is_too_hard_to_read_counts_against_nobody(queue: Queue) -> None:
    (ann,) = people(queue, "ann")
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    assigning.skip(assignment_id=lease.pk, annotator=ann, reason=quality.TOO_HARD)
    vote(queue, ann, 0)
    (row,) = quality.queue_stats(queue)["annotators"]
    assert (row["judgments"], row["skipped"]) == (1, 0)
    assert people_figures(queue=queue)[0]["skips"]["value"] == 0


def test_pace_counts_the_hours_in_which_somebody_worked(queue: Queue) -> None:
    from datetime import timedelta

    from django.utils import timezone

    (ann,) = people(queue, "ann")
    made = [vote(queue, ann, 0) for _ in range(4)]
    earlier = timezone.now() - timedelta(hours=5)
    Judgment.objects.filter(pk=made[0].pk).update(created_at=earlier)
    Judgment.objects.filter(pk=made[1].pk).update(created_at=earlier - timedelta(days=2))
    Judgment.objects.filter(pk__in=[made[2].pk, made[3].pk]).update(created_at=timezone.now())
    assert quality.queue_stats(queue)["judgments_per_hour"] == 1.5, "three judgments in two hours, one too old"
