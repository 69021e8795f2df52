from __future__ import annotations

import random

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from feedback import aggregation, assigning, judging
from feedback.models import Comparison, Event, Item, Judgment, Preference, Queue, User
from tests.factories import make_item, make_member, make_queue, make_user

pytestmark = pytest.mark.django_db


def vote(queue: Queue, person: User, position: int | str) -> Judgment:
    """Judge the next item so that the response at `position` (or tie, both_bad) is chosen."""
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    choice = position if isinstance(position, str) else "AB"[lease.order.index(position)]
    return judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice}).judgment


def counts() -> list[tuple[int, int, int, int]]:
    return list(Preference.objects.order_by("item").values_list("n_a", "n_b", "n_tie", "n_both_bad"))


def test_votes_are_counted_by_response_not_by_side() -> None:
    people = [make_user() for _ in range(4)]
    queue = make_queue(members=tuple(people), overlap=4)
    make_item(queue)
    for person, position in zip(people, (0, 0, 1, "tie"), strict=True):
        vote(queue, person, position)
    aggregation.gather()
    assert counts() == [(2, 1, 1, 0)]
    assert Comparison.objects.count() == 4


def test_an_item_settles_when_its_last_seat_is_judged_and_says_so_once() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben), overlap=2)
    item = make_item(queue)
    vote(queue, ann, 0)
    aggregation.gather()
    assert Item.objects.get(pk=item.pk).status == "open"
    vote(queue, ben, 1)
    aggregation.gather()
    aggregation.gather()
    assert Item.objects.get(pk=item.pk).status == "settled"
    assert Event.objects.filter(verb="item.settled").count() == 1


def test_a_withdrawn_judgment_leaves_the_counts() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue)
    judgment = vote(queue, ann, 0)
    aggregation.gather()
    judging.withdraw_rows(Judgment.objects.filter(pk=judgment.pk), reason="asked to", actor=None)
    aggregation.gather()
    assert counts() == []


def test_simulated_votes_count_in_demo_queues_alone() -> None:
    sim = make_user()
    for demo in (False, True):
        queue = make_queue(demo=demo)
        make_member(queue, sim, kind="simulated")
        make_item(queue)
        vote(queue, sim, 0)
    aggregation.gather()
    assert [p.item.queue.demo for p in Preference.objects.select_related("item__queue")] == [True]


def test_a_correction_replaces_what_it_supersedes() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue)
    first = vote(queue, ann, 0)
    Judgment.objects.create(
        item=first.item, queue=queue, author=make_user(role="reviewer"), answer={"choice": 1}, supersedes=first
    )
    aggregation.gather()
    assert counts() == [(0, 1, 0, 0)]


def test_rebuilding_changes_nothing_and_the_check_finds_a_planted_error() -> None:
    ann, rng = make_user(), random.Random(1)
    queue = make_queue(members=(ann,))
    for _ in range(12):
        make_item(queue)
    for _ in range(12):
        vote(queue, ann, rng.choice([0, 1, "tie", "both_bad"]))
    aggregation.gather()
    before = counts()
    call_command("rebuild_derived")
    assert counts() == before
    call_command("rebuild_derived", "--check")
    Preference.objects.filter(pk=Preference.objects.first().pk).update(n_a=7)  # type: ignore[union-attr]
    with pytest.raises(CommandError, match="1 items differ"):
        call_command("rebuild_derived", "--check")
