"""Any interleaving of what people and admins do leaves the queue sound: a state machine that hypothesis drives.

Sound: no item over its seats, no judgment without its assignment, no seat lost (leased without a lease, judged
without a judged assignment), nobody twice on an item, counts equal to a recount.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from feedback import aggregation, assigning, judging, pausing, review
from feedback.errors import Conflict, PlumblineError
from feedback.models import Assignment, Item, Judgment, Membership, Queue, Seat, User
from tests.factories import make_item, make_queue, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.slow]
PEOPLE = 3
WHO = st.integers(0, PEOPLE - 1)
CHOICE = st.sampled_from(["A", "B", "tie", "both_bad"])


def check_sound(queue: Queue) -> None:
    """Everything that must hold whatever has happened; used after races of real processes as well."""
    live = Assignment.objects.filter(queue=queue, seat__isnull=False)
    by_seat = Counter(live.filter(status__in=("leased", "judged")).values_list("seat", "status"))
    for seat in Seat.objects.filter(queue=queue):
        leased, judged = by_seat[seat.pk, "leased"], by_seat[seat.pk, "judged"]
        wanted = {"free": (0, 0), "leased": (1, 0), "judged": (0, 1)}[seat.status]
        assert (leased, judged) == wanted, f"seat {seat.pk} is {seat.status} with {leased} leases, {judged} judged"
    standing = Judgment.objects.filter(queue=queue, withdrawn_at__isnull=True, purpose="label")
    for judgment in standing.select_related("assignment"):
        assert judgment.assignment is not None and judgment.assignment.status == "judged"
        assert judgment.author_id == judgment.assignment.annotator_id
    votes = Counter(standing.values_list("item", flat=True))
    for item in Item.objects.filter(queue=queue, gold__isnull=True):
        assert votes[item.pk] <= item.seats.count(), "an item over its overlap"
    taken = live.filter(status__in=("leased", "judged")).values_list("annotator", "item")
    assert max(Counter(taken).values(), default=1) == 1, "somebody has an item twice"
    places = Assignment.objects.filter(queue=queue, status="leased").values_list("annotator", "place")
    assert max(Counter(places).values(), default=1) == 1, "somebody holds a place twice"
    for member in Membership.objects.filter(queue=queue, paused_at__isnull=False):
        assert not Assignment.objects.filter(queue=queue, annotator=member.user, status="leased").exists()


class Work(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.people: list[User] = [make_user() for _ in range(PEOPLE)]
        self.boss = make_user(role="admin")
        self.queue = make_queue(members=tuple(self.people), overlap=2, gold_rate=0.5, gold_start_rate=0.25, max_skips=4)
        for n in range(4):
            make_item(self.queue, gold={"choice": "A"} if n == 0 else None)

    def lease(self, who: int, place: int = 0) -> Assignment | None:
        return Assignment.objects.filter(annotator=self.people[who], status="leased", place=place).first()

    @rule(who=WHO, ahead=st.booleans())
    def claim(self, who: int, ahead: bool) -> None:
        try:
            assigning.claim(queue=self.queue, annotator=self.people[who], ahead=ahead)
        except Conflict as paused:
            assert paused.code == "paused_here"

    @rule(who=WHO, choice=CHOICE, flags=st.sampled_from([[], [], ["harmful"]]))
    def submit(self, who: int, choice: str, flags: list[str]) -> None:
        lease = Assignment.objects.filter(annotator=self.people[who]).order_by("-leased_at").first()
        if lease is not None:  # also one that has expired or been judged since
            self.tolerant(judging.judge, assignment_id=lease.pk, annotator=self.people[who],
                          body={"choice": choice, "flags": flags})  # fmt: skip

    def tolerant(self, verb: object, **arguments: object) -> None:
        with suppress(PlumblineError):  # refused: then nothing may have changed, which the invariants see
            verb(**arguments)  # type: ignore[operator]

    @rule(who=WHO)
    def skip(self, who: int) -> None:
        if (lease := self.lease(who)) is not None:
            self.tolerant(assigning.skip, assignment_id=lease.pk, annotator=self.people[who])

    @rule()
    def expire(self) -> None:
        late = timezone.now() - timedelta(seconds=1)
        Assignment.objects.filter(status="leased").update(expires_at=late)
        assigning.release_expired()

    @rule(who=WHO)
    def release(self, who: int) -> None:
        assigning.release_all(annotator=self.people[who])

    @rule(who=WHO)
    def undo(self, who: int) -> None:
        last = judging.recent(annotator=self.people[who], limit=1)
        if last:
            self.tolerant(judging.undo, judgment_id=last[0].pk, annotator=self.people[who])

    @rule(to=st.integers(2, 4), n=st.integers(0, 3))
    def raise_overlap(self, to: int, n: int) -> None:
        item = Item.objects.filter(queue=self.queue).order_by("pk")[n]
        self.tolerant(assigning.raise_overlap, item=item, to=to)

    @rule(who=WHO, n=st.integers(1, 3))
    def reserve(self, who: int, n: int) -> None:
        item = Item.objects.filter(queue=self.queue).order_by("pk")[n]
        self.tolerant(assigning.reserve, item=item, people=[self.people[who]])

    @rule(who=WHO, pause=st.booleans())
    def pause(self, who: int, pause: bool) -> None:
        member = Membership.objects.select_related("user", "queue").get(queue=self.queue, user=self.people[who])
        if pause:
            self.tolerant(pausing.pause, member=member, reason="Test.", actor=self.boss)
        else:
            self.tolerant(pausing.resume, member=member, actor=self.boss)

    @rule(who=WHO, again=st.booleans())
    def withdraw(self, who: int, again: bool) -> None:
        rows = Judgment.objects.filter(author=self.people[who])
        judging.withdraw_rows(rows, reason="asked to", actor=self.boss)
        if again:
            review.ask_again(queue=self.queue)

    @precondition(lambda self: Judgment.objects.filter(withdrawn_at__isnull=True, purpose="label").exists())
    @rule()
    def reject(self) -> None:
        judgment = Judgment.objects.filter(withdrawn_at__isnull=True, purpose="label").order_by("pk").last()
        assert judgment is not None
        found = review.find(judgment_id=judgment.pk, reviewer=self.boss)
        self.tolerant(review.decide, judgment=found, reviewer=self.boss, outcome="rejected", note="Test.")

    @rule()
    def gather(self) -> None:
        aggregation.gather()

    @invariant()
    def sound(self) -> None:
        if hasattr(self, "queue"):
            check_sound(self.queue)

    def teardown(self) -> None:
        aggregation.gather()
        assert aggregation.check_derived() == []


class AnyInterleaving(TestCase):
    def test_of_what_people_and_admins_do_leaves_the_queue_sound(self) -> None:
        class OneWorld(Work):
            def teardown(self) -> None:
                super().teardown()
                clear()

        run_state_machine_as_test(
            OneWorld,
            settings=settings(
                max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


def clear() -> None:
    """An empty workspace for the next example; the test's own transaction takes the rest back."""
    from feedback.models import Event, FlagCase, Preference, Review

    for model in (Review, FlagCase, Preference, Judgment, Assignment, Seat, Item, Membership, Queue, Event):
        model.objects.all().delete()
