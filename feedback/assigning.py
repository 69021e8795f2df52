"""Leasing seats: exactly one annotator a seat, whoever asks at the same time."""

from __future__ import annotations

import hmac
import random
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from . import events
from .errors import Conflict, LeaseLost, NotAllowed, NotFound, StaleTransition
from .lifecycle import advance
from .models import Assignment, Item, Membership, Queue, Seat, User

TRIES = 5  # a lost race is retried at once; each loss means that somebody else got work


def membership(queue: Queue, user: User) -> Membership:
    """The person's place in the queue; NotFound where they have none (what is not yours does not exist)."""
    found = Membership.objects.filter(queue=queue, user=user).first()
    if found is None:
        raise NotFound(f"There is no queue {queue.slug} among yours.")
    return found


def claim(*, queue: Queue, annotator: User, ahead: bool = False, admitted: bool = False) -> Assignment | None:
    """A lease on a free seat, or the one already held; None when nothing is left for this person.

    `ahead` gives the second lease (place 1), whose clock starts when it is shown. Seats are taken by
    priority, then position; never an item this person has had before. `admitted`: the caller has just
    seen the membership.
    """
    if not admitted:
        membership(queue, annotator)
    if queue.status != "open":
        raise Conflict(f"This queue is {queue.status}.", state=queue.status)
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return _claim_once(queue, annotator, 1 if ahead else 0)
        except (IntegrityError, StaleTransition):
            continue  # somebody was faster: look again
    return _held(queue, annotator).get(1 if ahead else 0)


def _claim_once(queue: Queue, annotator: User, place: int) -> Assignment | None:
    held = _held(queue, annotator)
    if place in held:
        return _show(held[place], queue) if place == 0 else held[place]
    if place == 0 and 1 in held:
        return _promote(held[1], queue)
    seat = _free_seat(queue, annotator)
    return None if seat is None else _lease(seat, queue, annotator, place)


def _held(queue: Queue, annotator: User) -> dict[int, Assignment]:
    """The leases by place; one that ran out is given back first, so that it cannot be shown stale."""
    live = Assignment.objects.filter(queue=queue, annotator=annotator, status="leased")
    held = {}
    for found in live.select_related("item__prompt"):
        if found.expires_at <= timezone.now():
            expire(found)
        else:
            found.queue = queue
            held[found.place] = found
    return held


def _promote(fetched: Assignment, queue: Queue) -> Assignment:
    """The item fetched ahead becomes the one shown, and its clock starts."""
    now = timezone.now()
    fields = {"place": 0, "shown_at": now, "expires_at": now + timedelta(seconds=queue.lease_seconds)}
    if not Assignment.objects.filter(pk=fetched.pk, status="leased", place=1).update(**fields):
        raise StaleTransition("The lease fetched ahead has moved.")
    for name, value in fields.items():
        setattr(fetched, name, value)
    return fetched


def _show(held: Assignment, queue: Queue) -> Assignment:
    if held.shown_at is None:
        now = timezone.now()
        Assignment.objects.filter(pk=held.pk, shown_at__isnull=True).update(shown_at=now)
        held.shown_at = now
    return held


def _open_seats(queue: Queue, annotator: User) -> QuerySet[Seat]:
    seen = Assignment.objects.filter(
        item=OuterRef("item"), annotator=annotator, status__in=("leased", "judged", "skipped")
    )
    free = Seat.objects.filter(~Exists(seen), queue=queue, status="free", item__status="open")
    return free.order_by("-priority", "position", "number")


def _free_seat(queue: Queue, annotator: User) -> Seat | None:
    """The next seat, locked. With SKIP LOCKED first; before "nothing left", once more waiting for the locks."""
    seats = _open_seats(queue, annotator).select_related("item__prompt")
    if connection.vendor == "postgresql":
        seat = seats.select_for_update(skip_locked=True, of=("self",)).first()
        if seat is not None:
            return seat
    waiting = seats.select_for_update(of=("self",))
    seat = waiting.first()
    return waiting.first() if seat is None and release_expired(queue=queue) else seat


def _lease(seat: Seat, queue: Queue, annotator: User, place: int) -> Assignment:
    advance(seat, "leased")
    now = timezone.now()
    return Assignment.objects.create(
        seat=seat,
        item=seat.item,
        queue=queue,
        annotator=annotator,
        order=shown_order(seat),
        place=place,
        leased_at=now,
        shown_at=now if place == 0 else None,
        expires_at=now + timedelta(seconds=queue.lease_seconds * (1 if place == 0 else 2)),
    )


def shown_order(seat: Seat) -> list[int]:
    """A random order of positions per pair of seats; the second of the pair sees the first one's reversed."""
    item = seat.item
    count = len(item.ordered_responses())
    pair = (seat.number - 1) // 2
    secret = hmac.new(settings.SECRET_KEY.encode(), f"{item.key}:{pair}".encode(), "sha256").digest()
    order = random.Random(secret).sample(range(count), count)
    return order if seat.number % 2 else order[::-1]


def mine(*, assignment_id: uuid.UUID | str, annotator: User) -> Assignment:
    """The person's own assignment; NotFound for anybody else's, so that ids tell nothing.

    `member_kind` is the kind of their membership, None where it has ended.
    """
    kind = Membership.objects.filter(queue=OuterRef("queue"), user=annotator).values("kind")[:1]
    found = (
        Assignment.objects.select_related("queue", "item", "seat")
        .filter(pk=assignment_id, annotator=annotator)
        .annotate(member_kind=Subquery(kind))
        .first()
    )
    if found is None:
        raise NotFound("There is no such assignment of yours.")
    return found


def expire(assignment: Assignment) -> None:
    """Give a lease that ran out back to the queue."""
    _give_back(assignment, "expired")


@transaction.atomic
def _give_back(assignment: Assignment, to: str, **fields: object) -> None:
    advance(assignment, to, **fields)
    advance(assignment.seat, "free")


@transaction.atomic
def skip(*, assignment_id: uuid.UUID | str, annotator: User, reason: str = "") -> Assignment:
    """Pass the item on to others. As many skips as the queue allows settle it as unusable."""
    assignment = mine(assignment_id=assignment_id, annotator=annotator)
    if assignment.status != "leased":
        raise LeaseLost("This lease has ended; there is nothing to skip.", state=assignment.status)
    _give_back(assignment, "skipped", skip_reason=reason[:300])
    events.record("assignment.skipped", assignment, actor=annotator, after={"reason": reason[:300]})
    item = assignment.item
    skips = Assignment.objects.filter(item=item, status="skipped").count()
    if skips >= assignment.queue.max_skips and item.status == "open":
        advance(item, "unusable", settled_at=timezone.now())
        events.record("item.unusable", item, after={"skips": skips})
    return assignment


def heartbeat(*, assignment_id: uuid.UUID | str, annotator: User) -> Assignment:
    """Somebody is still reading: both of this person's leases in the queue start their time again."""
    assignment = mine(assignment_id=assignment_id, annotator=annotator)
    until = timezone.now() + timedelta(seconds=assignment.queue.lease_seconds)
    live = Q(queue=assignment.queue, annotator=annotator, status="leased")
    Assignment.objects.filter(live).update(expires_at=until)
    if assignment.status != "leased":
        raise LeaseLost("This lease has ended.", state=assignment.status)
    assignment.expires_at = until
    return assignment


def release_all(*, annotator: User) -> int:
    """Hand back everything a person holds, as at sign-out."""
    held = list(Assignment.objects.filter(annotator=annotator, status="leased").select_related("seat"))
    return sum(_try(assignment, "released") for assignment in held)


def release_expired(*, queue: Queue | None = None, now: datetime | None = None, limit: int = 500) -> int:
    """Give back leases that ran out; returns how many."""
    late = Assignment.objects.filter(status="leased", expires_at__lte=now or timezone.now())
    if queue is not None:
        late = late.filter(queue=queue)
    return sum(_try(assignment, "expired") for assignment in late.select_related("seat")[:limit])


def _try(assignment: Assignment, to: str) -> bool:
    try:
        _give_back(assignment, to)
    except StaleTransition:
        return False
    return True


@transaction.atomic
def raise_overlap(*, item: Item, to: int, actor: User | None = None) -> int:
    """More seats for one item; returns how many were added. An item already settled opens again."""
    from .pairing import seats_for

    have = item.seats.count()
    if to <= have:
        return 0
    Seat.objects.bulk_create(seats_for(item, range(have + 1, to + 1)))
    if item.status in ("settled", "unusable"):
        advance(item, "open", settled_at=None)
    events.record("item.overlap_raised", item, actor=actor, before={"overlap": have}, after={"overlap": to})
    return to - have


def require_role(user: User, *roles: str) -> None:
    if user.role not in roles and user.role != "admin":
        raise NotAllowed(f"This needs the role {' or '.join(roles)}.")
