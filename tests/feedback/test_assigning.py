from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback import assigning
from feedback.errors import Conflict, LeaseLost, NotFound
from feedback.models import Assignment, Seat
from tests.factories import make_item, make_member, make_queue, make_user

pytestmark = pytest.mark.django_db


def expire(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_claiming_again_returns_the_same_lease() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue)
    make_item(queue)
    first = assigning.claim(queue=queue, annotator=ann)
    assert first is not None
    assert assigning.claim(queue=queue, annotator=ann) == first


def test_two_people_never_get_the_same_seat() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben))
    make_item(queue)
    assert assigning.claim(queue=queue, annotator=ann) is not None
    assert assigning.claim(queue=queue, annotator=ben) is None


def test_the_database_itself_refuses_a_second_lease_on_a_seat() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben))
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    with pytest.raises(IntegrityError), transaction.atomic():
        Assignment.objects.create(
            seat=lease.seat, item=lease.item, queue=queue, annotator=ben, order=[0, 1],
            leased_at=timezone.now(), expires_at=timezone.now(),
        )  # fmt: skip


def test_nobody_gets_an_item_twice_even_with_seats_left() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), overlap=3)
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    assigning.skip(assignment_id=lease.pk, annotator=ann)
    assert assigning.claim(queue=queue, annotator=ann) is None


def test_an_expired_lease_goes_to_the_next_person() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben))
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    expire(lease)
    taken = assigning.claim(queue=queue, annotator=ben)
    assert taken is not None and taken.seat_id == lease.seat_id


def test_the_second_seat_sees_the_first_ones_order_reversed() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben), overlap=2)
    make_item(queue)
    one, two = assigning.claim(queue=queue, annotator=ann), assigning.claim(queue=queue, annotator=ben)
    assert one is not None and two is not None
    assert one.order == two.order[::-1]


def test_sides_are_balanced_over_many_items() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    seats = [make_item(queue).seats.get() for _ in range(200)]
    straight = sum(assigning.shown_order(seat) == [0, 1] for seat in seats)
    assert 65 <= straight <= 135  # binomial(200, .5) within five standard deviations


def test_higher_priority_goes_first() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue)
    urgent = make_item(queue, priority=5)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None and lease.item_id == urgent.pk


def test_the_lease_fetched_ahead_becomes_the_one_shown_with_a_fresh_clock() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), lease_seconds=100)
    make_item(queue)
    make_item(queue)
    shown = assigning.claim(queue=queue, annotator=ann)
    ahead = assigning.claim(queue=queue, annotator=ann, ahead=True)
    assert shown is not None and ahead is not None and ahead.shown_at is None
    assigning.skip(assignment_id=shown.pk, annotator=ann)
    now_shown = assigning.claim(queue=queue, annotator=ann)
    assert now_shown == ahead and now_shown.place == 0 and now_shown.shown_at is not None


def test_as_many_skips_as_the_queue_allows_make_an_item_unusable() -> None:
    people = [make_user() for _ in range(3)]
    queue = make_queue(members=tuple(people), max_skips=3)
    item = make_item(queue)
    for person in people:
        lease = assigning.claim(queue=queue, annotator=person)
        assert lease is not None
        assigning.skip(assignment_id=lease.pk, annotator=person, reason="garbled")
    item.refresh_from_db()
    assert item.status == "unusable"


def test_a_queue_that_is_not_mine_does_not_exist_for_me() -> None:
    with pytest.raises(NotFound):
        assigning.claim(queue=make_queue(), annotator=make_user())


def test_nothing_is_claimed_from_a_paused_queue() -> None:
    ann = make_user()
    queue = make_queue(status="paused", members=(ann,))
    with pytest.raises(Conflict, match="paused"):
        assigning.claim(queue=queue, annotator=ann)


def test_heartbeat_renews_both_leases_and_tells_when_one_has_ended() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), lease_seconds=100)
    make_item(queue)
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=ann)
    ahead = assigning.claim(queue=queue, annotator=ann, ahead=True)
    assert lease is not None and ahead is not None
    soon = timezone.now() + timedelta(seconds=1)
    Assignment.objects.update(expires_at=soon)
    assigning.heartbeat(assignment_id=lease.pk, annotator=ann)
    assert all(a.expires_at > soon for a in Assignment.objects.all())
    assigning.skip(assignment_id=lease.pk, annotator=ann)
    with pytest.raises(LeaseLost):
        assigning.heartbeat(assignment_id=lease.pk, annotator=ann)


def test_signing_out_hands_everything_back() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben))
    make_item(queue)
    assigning.claim(queue=queue, annotator=ann)
    assert assigning.release_all(annotator=ann) == 1
    assert Seat.objects.get().status == "free"
    assert assigning.claim(queue=queue, annotator=ben) is not None


def test_raising_the_overlap_opens_a_settled_item_again() -> None:
    queue = make_queue()
    item = make_item(queue)
    item.seats.update(status="judged")
    type(item).objects.filter(pk=item.pk).update(status="settled")
    item.refresh_from_db()
    assert assigning.raise_overlap(item=item, to=3) == 2
    assert (item.status, item.seats.filter(status="free").count()) == ("open", 2)


def test_a_member_of_another_queue_cannot_touch_a_lease() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann,))
    make_member(make_queue(), ben)
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    with pytest.raises(NotFound):
        assigning.skip(assignment_id=lease.pk, annotator=ben)
