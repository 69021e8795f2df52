"""Leasing seats: exactly one annotator a seat, whoever asks at the same time.

This is the busiest path of all, so its few statements are written in SQL (see `rows`). What a person is
asked is drawn here too: a seat of an item, or (without a seat) gold, a repeat of their own, or what a model
judge is to give its opinion on.
"""

from __future__ import annotations

import hmac
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from . import events, gold
from .errors import BadInput, Conflict, LeaseLost, NotAllowed, NotFound, PausedHere, StaleTransition
from .lifecycle import advance, moving
from .models import Assignment, Item, Membership, Prompt, Queue, Seat, User
from .rows import Columns, adapt, fetch, inserting, run

TRIES = 5  # a lost race is retried at once; each loss means that somebody else got work
ASSIGNMENT, SEAT, ITEM, PROMPT = Columns(Assignment, "a"), Columns(Seat, "s"), Columns(Item, "i"), Columns(Prompt, "p")
MEMBER, QUEUE = Columns(Membership, "m"), Columns(Queue, "q", without=("guidelines", "rubric"))

KEPT = """EXISTS (SELECT 1 FROM feedback_seat k WHERE k.reserved_for_id = m.user_id AND k.queue_id = m.queue_id
                  AND k.status = 'free')"""  # whether seats are kept for this person
MINE = f"""
SELECT {ASSIGNMENT.sql}, {QUEUE.sql}, {ITEM.sql}, {SEAT.sql}, {MEMBER.sql}, {KEPT}
FROM feedback_assignment a
JOIN feedback_queue q ON q.id = a.queue_id
JOIN feedback_item i ON i.id = a.item_id
LEFT JOIN feedback_seat s ON s.id = a.seat_id
LEFT JOIN feedback_membership m ON m.queue_id = a.queue_id AND m.user_id = a.annotator_id
WHERE a.id = %s AND a.annotator_id = %s
"""
HELD = f"""
SELECT {ASSIGNMENT.sql}, {ITEM.sql}, {PROMPT.sql}
FROM feedback_assignment a
JOIN feedback_item i ON i.id = a.item_id
JOIN feedback_prompt p ON p.id = i.prompt_id
WHERE a.annotator_id = %s AND a.queue_id = %s AND a.status = 'leased'
"""
FREE_SEAT = f"""
SELECT {SEAT.sql}, {ITEM.sql}, {PROMPT.sql},
  (SELECT COUNT(*) FROM feedback_itemresponse c WHERE c.item_id = s.item_id)
FROM feedback_seat s
JOIN feedback_item i ON i.id = s.item_id
JOIN feedback_prompt p ON p.id = i.prompt_id
WHERE s.queue_id = %s AND s.status = 'free' AND i.status = 'open' AND {{whose}}
AND NOT EXISTS (SELECT 1 FROM feedback_assignment a
                WHERE a.item_id = s.item_id AND a.annotator_id = %s AND a.status IN ({{seen}}))
AND NOT EXISTS (SELECT 1 FROM feedback_itemresponse l JOIN feedback_response r ON r.id = l.response_id
                WHERE l.item_id = s.item_id AND r.author_id = %s)
AND i.language IN ({{languages}}) AND i.skill IN ({{skills}})
ORDER BY s.priority DESC, s.position, s.number LIMIT 1 {{lock}}
"""
SEEN = "'leased', 'judged', 'skipped', 'void'"


def membership(queue: Queue, user: User) -> Membership:
    """The person's place in the queue; NotFound where they have none (what is not yours does not exist)."""
    sql = f"SELECT {MEMBER.sql}, {KEPT} FROM feedback_membership m WHERE m.queue_id = %s AND m.user_id = %s"
    found = fetch(sql, [queue.pk, user.pk])
    if not found:
        raise NotFound(f"There is no queue {queue.slug} among yours.")
    return _member(found[0])


def _member(row: tuple[Any, ...]) -> Membership:
    member = MEMBER.read(row)
    member.has_kept_seats = bool(row[len(MEMBER)])  # type: ignore[attr-defined]
    return member


def claim(*, queue: Queue, annotator: User, ahead: bool = False, member: Membership | None = None) -> Assignment | None:
    """A lease on a free seat, or the one already held; None when nothing is left for this person.

    `ahead` gives the second lease (place 1), whose clock starts when it is shown. Seats are taken by
    priority, then position; never an item this person has had before, nor one with an answer of their own
    writing. `member`: the membership, where the caller has just seen it. Raises PausedHere, Conflict, NotAllowed.
    """
    member = member or membership(queue, annotator)
    check_admitted(queue, member, annotator)
    place = 1 if ahead else 0
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return _claim_once(queue, annotator, member, place)
        except (IntegrityError, StaleTransition):
            continue  # somebody was faster: look again
    return _held(queue, annotator).get(place)


def check_admitted(queue: Queue, member: Membership, annotator: User) -> None:
    """Whether this person may be asked anything here now."""
    if queue.status != "open":
        raise Conflict(f"This queue is {queue.status}.", state=queue.status)
    if member.paused_at is not None:
        raise PausedHere(f"You are paused in this queue: {member.paused_reason}", queue=queue.slug)
    if queue.languages and not set(queue.languages) & set(annotator.languages):
        raise NotAllowed(f"This queue is for people who know {' or '.join(queue.languages)}.")
    if missing := sorted(set(queue.skills) - set(annotator.skills)):
        raise NotAllowed(f"This queue is for people with the skill {' and '.join(missing)}.")


def _claim_once(queue: Queue, annotator: User, member: Membership, place: int) -> Assignment | None:
    held = _held(queue, annotator)
    if place in held:
        return _show(held[place], queue) if place == 0 else held[place]
    if place == 0 and 1 in held:
        return _promote(held[1], queue)
    if member.kind == "model":
        item = gold.for_model_judge(queue, annotator)
        return None if item is None else _lease(item, None, "judge", queue, annotator, place)
    seat = _free_seat(queue, annotator, member)
    if (extra := _extra(seat, queue, annotator, member)) is not None:
        item, purpose = extra
        return _lease(item, None, purpose, queue, annotator, place)
    return None if seat is None else _lease(seat.item, seat, "label", queue, annotator, place)


def _extra(seat: Seat | None, queue: Queue, annotator: User, member: Membership) -> tuple[Item, str] | None:
    """Gold or a repeat in place of the seat found, where it is due. Only while there is other work: else it shows."""
    if seat is None:
        return None
    if gold.is_due(queue, member) and (item := gold.pick(queue, annotator)) is not None:
        return item, "gold"
    if gold.repeat_is_due(queue) and (repeat := gold.pick_repeat(queue, annotator)) is not None:
        return repeat, "repeat"
    return None


def _held(queue: Queue, annotator: User) -> dict[int, Assignment]:
    """The leases by place; one that ran out is given back first, so that it cannot be shown stale."""
    held = {}
    for row in fetch(HELD, [annotator.pk, queue.pk]):
        found = ASSIGNMENT.read(row)
        found.item = ITEM.read(row[len(ASSIGNMENT) :])
        found.item.prompt = PROMPT.read(row[len(ASSIGNMENT) + len(ITEM) :])
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


def _free_seat(queue: Queue, annotator: User, member: Membership) -> Seat | None:
    """The next seat, locked. With SKIP LOCKED first; before "nothing left", once more waiting for the locks.

    Seats kept for this person go first, except (where a skipped item comes back to who skipped it) those they
    have skipped: those come last.
    """
    kept = member.has_kept_seats  # type: ignore[attr-defined]
    for lock in ("FOR UPDATE OF s SKIP LOCKED", "FOR UPDATE OF s") if _locks() else ("",):
        seat = _look(queue, annotator, lock, kept=True) if kept else None
        seat = seat or _look(queue, annotator, lock)
        if seat is None and kept and queue.skip_policy == "mine":
            seat = _look(queue, annotator, lock, kept=True, seen="'leased', 'judged', 'void'")
        if seat is not None:
            return seat
    return _free_seat(queue, annotator, member) if release_expired(queue=queue) else None


def _locks() -> bool:
    return connection.vendor == "postgresql"  # SQLite has one writer, and we are it


def _look(queue: Queue, annotator: User, lock: str, *, kept: bool = False, seen: str = SEEN) -> Seat | None:
    languages, skills = ["", *annotator.languages], ["", *annotator.skills]
    sql = FREE_SEAT.format(
        whose="s.reserved_for_id = %s" if kept else "s.reserved_for_id IS NULL",
        seen=seen,
        languages=", ".join(["%s"] * len(languages)),
        skills=", ".join(["%s"] * len(skills)),
        lock=lock,
    )
    mine_alone = [annotator.pk] if kept else []
    found = fetch(sql, [queue.pk, *mine_alone, annotator.pk, annotator.pk, *languages, *skills])
    return _seat(found[0], queue) if found else None


def _seat(row: tuple[Any, ...], queue: Queue) -> Seat:
    seat = SEAT.read(row)
    seat.item = ITEM.read(row[len(SEAT) :])
    seat.item.prompt = PROMPT.read(row[len(SEAT) + len(ITEM) :])
    seat.item.count = row[-1]
    seat.queue = queue
    return seat


def _lease(item: Item, seat: Seat | None, purpose: str, queue: Queue, annotator: User, place: int) -> Assignment:
    now = timezone.now()
    lease = Assignment(
        seat=seat,
        purpose=purpose,
        item=item,
        queue=queue,
        annotator=annotator,
        order=shown_order(seat) if seat is not None else order_without_seat(item, annotator, purpose),
        place=place,
        leased_at=now,
        shown_at=now if place == 0 else None,
        expires_at=now + timedelta(seconds=queue.lease_seconds * (1 if place == 0 else 2)),
    )
    run(*([moving(seat, "leased")] if seat is not None else []), inserting(lease), item.reading_responses())
    return lease


def shown_order(seat: Seat) -> list[int]:
    """A random order of positions per pair of seats; the second of the pair sees the first one's reversed."""
    order = _drawn_order(seat.item, str((seat.number - 1) // 2))
    return order if seat.number % 2 else order[::-1]


def order_without_seat(item: Item, annotator: User, purpose: str) -> list[int]:
    """A random order per person; a repeat shows their first one's reversed."""
    if purpose == "repeat":
        first = Assignment.objects.filter(item=item, annotator=annotator, purpose="label", status="judged").first()
        if first is not None:
            return list(first.order)[::-1]
    return _drawn_order(item, f"person {annotator.pk}")


def _drawn_order(item: Item, salt: str) -> list[int]:
    count = item.count if item.count is not None else len(item.ordered_responses())
    secret = hmac.new(settings.SECRET_KEY.encode(), f"{item.key}:{salt}".encode(), "sha256").digest()
    return random.Random(secret).sample(range(count), count)


def mine(*, assignment_id: uuid.UUID | str, annotator: User) -> Assignment:
    """The person's own assignment; NotFound for anybody else's, so that ids tell nothing.

    `member` is their membership, None where it has ended.
    """
    found = fetch(MINE, [adapt(Assignment, "id", _uuid(assignment_id)), annotator.pk])
    if not found:
        raise NotFound("There is no such assignment of yours.")
    row = found[0]
    assignment = ASSIGNMENT.read(row)
    row = row[len(ASSIGNMENT) :]
    assignment.queue = QUEUE.read(row)
    row = row[len(QUEUE) :]
    assignment.item = ITEM.read(row)
    row = row[len(ITEM) :]
    assignment.seat = SEAT.read(row) if assignment.seat_id is not None else None
    row = row[len(SEAT) :]
    assignment.annotator = annotator
    assignment.member = _member(row) if row[0] is not None else None  # type: ignore[attr-defined]
    return assignment


def _uuid(text: uuid.UUID | str) -> uuid.UUID:
    try:
        return text if isinstance(text, uuid.UUID) else uuid.UUID(text)
    except ValueError:
        raise NotFound("There is no such assignment of yours.")


def expire(assignment: Assignment) -> None:
    """Give a lease that ran out back to the queue."""
    _give_back(assignment, "expired")


@transaction.atomic
def _give_back(assignment: Assignment, to: str, **fields: object) -> None:
    advance(assignment, to, ended_at=timezone.now(), **fields)
    if assignment.seat is not None:
        advance(assignment.seat, "free")


@transaction.atomic
def skip(*, assignment_id: uuid.UUID | str, annotator: User, reason: str = "") -> Assignment:
    """Pass the item on, as the queue's skip policy says. As many skips as it allows settle it as unusable."""
    assignment = mine(assignment_id=assignment_id, annotator=annotator)
    queue = assignment.queue
    if assignment.status != "leased":
        raise LeaseLost("This lease has ended; there is nothing to skip.", state=assignment.status)
    if queue.skip_policy == "never":
        raise Conflict("Items of this queue cannot be skipped.")
    if queue.skip_reason_required and not reason.strip():
        raise BadInput("reason: say why you skip it; this queue asks for a reason.", where="reason")
    _give_back(assignment, "skipped", skip_reason=reason[:300])
    events.record("assignment.skipped", assignment, actor=annotator, after={"reason": reason[:300]})
    if assignment.seat is not None:
        if queue.skip_policy == "mine":
            Seat.objects.filter(pk=assignment.seat.pk, status="free").update(reserved_for=annotator)
        _count_skips(assignment.item, queue)
    return assignment


def _count_skips(item: Item, queue: Queue) -> None:
    skips = Assignment.objects.filter(item=item, status="skipped").count()
    if skips >= queue.max_skips and item.status == "open":
        advance(item, "unusable", settled_at=timezone.now())
        events.record("item.unusable", item, after={"skips": skips})


def heartbeat(*, assignment_id: uuid.UUID | str, annotator: User) -> Assignment:
    """Somebody is still reading: both of this person's leases in the queue start their time again."""
    assignment = mine(assignment_id=assignment_id, annotator=annotator)
    until = timezone.now() + timedelta(seconds=assignment.queue.lease_seconds)
    Assignment.objects.filter(queue=assignment.queue, annotator=annotator, status="leased").update(expires_at=until)
    if assignment.status != "leased":
        raise LeaseLost("This lease has ended.", state=assignment.status)
    assignment.expires_at = until
    return assignment


def release_all(*, annotator: User, queue: Queue | None = None) -> int:
    """Hand back everything a person holds (in one queue), as at sign-out."""
    held = Assignment.objects.filter(annotator=annotator, status="leased")
    if queue is not None:
        held = held.filter(queue=queue)
    return sum(hand_back(assignment, "released") for assignment in held.select_related("seat").order_by("pk"))


def release_expired(*, queue: Queue | None = None, now: datetime | None = None, limit: int = 500) -> int:
    """Give back leases that ran out; returns how many."""
    late = Assignment.objects.filter(status="leased", expires_at__lte=now or timezone.now())
    if queue is not None:
        late = late.filter(queue=queue)
    ordered = late.select_related("seat").order_by("pk")  # in one order, so that two who do it cannot deadlock
    return sum(hand_back(assignment, "expired") for assignment in ordered[:limit])


def hand_back(assignment: Assignment, to: str) -> bool:
    """Give a lease back as `expired` or `released`; False where it has moved on meanwhile."""
    try:
        _give_back(assignment, to)
    except StaleTransition:
        return False
    return True


@transaction.atomic
def vacate(*, assignment: Assignment) -> None:
    """A judged seat whose answer was taken out is free again, for somebody else; its item opens again."""
    advance(assignment, "void")
    if assignment.seat is None:
        return
    advance(assignment.seat, "free")
    item = Item.objects.get(pk=assignment.item_id)  # it may have settled since it was read
    if item.status == "settled":
        advance(item, "open", settled_at=None)


@transaction.atomic
def raise_overlap(*, item: Item, to: int, actor: User | None = None) -> int:
    """More seats for one item; returns how many were added. An item already settled opens again."""
    from .pairing import seats_for

    Item.objects.select_for_update().get(pk=item.pk)  # two who raise it at once count the same seats
    have = item.seats.count()
    if to <= have or item.gold is not None:
        return 0
    Seat.objects.bulk_create(seats_for(item, range(have + 1, to + 1)))
    if item.status in ("settled", "unusable"):
        advance(item, "open", settled_at=None)
    events.record("item.overlap_raised", item, actor=actor, before={"overlap": have}, after={"overlap": to})
    return to - have


@transaction.atomic
def reserve(*, item: Item, people: list[User], actor: User | None = None) -> int:
    """Keep the item's free seats for named people, one each; seats are added where too few are free."""
    if item.gold is not None:
        raise Conflict("Everybody may see a gold item; it cannot be kept for somebody.", item=str(item.key))
    had = set(Assignment.objects.filter(item=item, annotator__in=people).exclude(status__in=("expired", "released"))
              .values_list("annotator_id", flat=True))  # fmt: skip
    kept = set(item.seats.filter(reserved_for__in=people, status="free").values_list("reserved_for_id", flat=True))
    wanting = [person for person in people if person.pk not in had | kept]
    free = list(item.seats.filter(status="free", reserved_for__isnull=True).order_by("number")[: len(wanting)])
    if len(free) < len(wanting):
        raise_overlap(item=item, to=item.seats.count() + len(wanting) - len(free), actor=actor)
        free = list(item.seats.filter(status="free", reserved_for__isnull=True).order_by("number")[: len(wanting)])
    for seat, person in zip(free, wanting, strict=False):
        Seat.objects.filter(pk=seat.pk, status="free").update(reserved_for=person)
    if wanting:
        events.record("item.reserved", item, actor=actor, after={"for": [person.username for person in wanting]})
    return len(wanting)
