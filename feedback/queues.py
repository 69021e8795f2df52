"""Making queues, changing them, and letting people in."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count

from . import assigning, events
from .errors import BadInput, Conflict, NotAllowed, NotFound
from .kinds import check_rubric, kind_of
from .lifecycle import advance
from .models import SKIP_POLICIES, GuidelinesVersion, Item, Membership, Queue, Seat, User
from .pairing import seats_for

BATCH = 500
FIELDS = (
    "title", "kind", "guidelines", "rubric", "overlap", "second_share", "third_on_disagreement", "lease_seconds",
    "skip_policy", "skip_reason_required", "max_skips", "gold_rate", "gold_start_rate", "gold_start_items",
    "qualify_of", "qualify_right", "repeat_rate", "repeat_after_days", "languages", "skills", "flag_role",
    "price_hour", "selection", "control_rate", "content_level", "status",
)  # fmt: skip
FIXED = ("kind",)  # answers already given would lose their meaning
WORDED = ("guidelines", "rubric")  # a change of these is a new version of the guidelines


def find(*, slug: str, user: User, manage: bool = False) -> Queue:
    """The queue, for someone who may see it: its members, engineers (reading), admins.

    Raises NotFound where it is not theirs, NotAllowed where they may see but not `manage` it.
    """
    queue = Queue.objects.filter(slug=slug).first()
    member = Membership.objects.filter(queue=queue, user=user).first() if queue is not None else None
    if queue is None or not (member or user.is_engineer):
        raise NotFound(f"There is no queue {slug} among yours.")
    if manage and not user.is_admin and (member is None or member.role != "manager"):
        raise NotAllowed("This needs the queue's manager or an admin.")
    return queue


def visible(*, user: User) -> Any:
    """The queues that this person may see."""
    return Queue.objects.all() if user.is_engineer else Queue.objects.filter(memberships__user=user)


def create(*, slug: str, actor: User | None = None, **fields: Any) -> tuple[Queue, bool]:
    """The queue of this slug, and whether it is new. The same slug with other fields is a Conflict."""
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,80}", slug):
        raise BadInput("slug: letters, digits, - and _ only, 80 at most.", where="slug")
    draft = Queue(slug=slug, **fields)
    _check(draft)
    kind_of(draft.kind)
    with transaction.atomic():
        queue, created = Queue.objects.get_or_create(slug=slug, defaults=_body(draft))
        if created:
            _keep_guidelines(queue, actor)
            events.record("queue.created", queue, actor=actor, after=_body(draft))
    if not created and _body(queue) != _body(draft):
        raise Conflict(f"A queue named {slug} exists and differs; change it with PATCH.", slug=slug)
    return queue, created


@transaction.atomic
def change(*, queue: Queue, actor: User | None = None, **fields: Any) -> Queue:
    """Change some fields. A raised overlap adds seats to the items there are; a lowered one concerns new items."""
    before = _body(queue)
    changed = {name: value for name, value in fields.items() if getattr(queue, name) != value}
    for name in FIXED:
        if name in changed:
            raise Conflict(f"{name}: the {name} of a queue cannot change.", where=name)
    status = changed.pop("status", None)
    for name, value in changed.items():
        setattr(queue, name, value)
    if changed:
        _check(queue)
        if any(name in changed for name in WORDED):
            queue.guidelines_version += 1
        queue.save(update_fields=[*changed, "guidelines_version"])
        _keep_guidelines(queue, actor)
    if status is not None:
        advance(queue, status)
    if changed.get("overlap", 0) > before["overlap"]:
        _add_seats(queue)
    after = {name: value for name, value in _body(queue).items() if value != before[name]}
    if after:
        events.record("queue.changed", queue, actor=actor, before={n: before[n] for n in after}, after=after)
    return queue


@transaction.atomic
def dismiss(*, member: Membership, actor: User | None = None) -> None:
    """End a membership; what the person holds goes back, what they judged stays."""
    assigning.release_all(annotator=member.user, queue=member.queue)
    member.delete()
    before = {"user": member.user.username, "role": member.role}
    events.record("queue.member_removed", member.queue, actor=actor, before=before)


@transaction.atomic
def clone(*, queue: Queue, actor: User | None = None) -> Queue:
    """A draft with the same settings and people under the next free name, without items."""
    stem = re.sub(r"-copy(-\d+)?$", "", queue.slug)[:70]
    names = [f"{stem}-copy", *(f"{stem}-copy-{n}" for n in range(2, 1000))]
    taken = set(Queue.objects.filter(slug__in=names).values_list("slug", flat=True))
    slug = next(name for name in names if name not in taken)
    fields = {name: getattr(queue, name) for name in FIELDS if name != "status"}
    copy, _ = create(slug=slug, actor=actor, **{**fields, "title": f"{queue.title} (copy)"[:200]})
    for member in queue.memberships.select_related("user"):
        admit(queue=copy, user=member.user, role=member.role, kind=member.kind, actor=actor)
    return copy


def _keep_guidelines(queue: Queue, actor: User | None) -> None:
    """The words as of this version, so that a judgment's version can always be read."""
    GuidelinesVersion.objects.get_or_create(
        queue=queue,
        number=queue.guidelines_version,
        defaults={"text": queue.guidelines, "rubric": queue.rubric, "author": actor},
    )


def _add_seats(queue: Queue) -> None:
    """Seats up to the queue's overlap for every item that wants answers; those already settled open again."""
    short = (
        Item.objects.filter(queue=queue, gold__isnull=True, status__in=("staged", "open", "settled"))
        .annotate(have=Count("seats"))
        .filter(have__lt=queue.overlap)
    )
    items = list(short)
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        seats = [seat for item in part for seat in seats_for(item, range(item.have + 1, queue.overlap + 1))]
        Seat.objects.bulk_create(seats, ignore_conflicts=True)  # a share of the items has one more already
        settled = [item.pk for item in part if item.status == "settled"]
        Item.objects.filter(pk__in=settled, status="settled").update(status="open", settled_at=None)


@transaction.atomic
def admit(
    *, queue: Queue, user: User, role: str = "annotator", kind: str = "human", actor: User | None = None
) -> tuple[Membership, bool]:
    """Make somebody a member, or give a member another role; whether they are new."""
    if role not in Membership.ROLES:
        raise BadInput(f"role: {role!r} is none of {', '.join(Membership.ROLES)}.", where="role")
    member, created = Membership.objects.get_or_create(queue=queue, user=user, defaults={"role": role, "kind": kind})
    if created or member.role != role:
        before = None if created else {"role": member.role}
        Membership.objects.filter(pk=member.pk).update(role=role)
        member.role = role
        after = {"user": user.username, "role": role, "kind": member.kind}
        events.record("queue.member", queue, actor=actor, before=before, after=after)
    return member, created


def _body(queue: Queue) -> dict[str, Any]:
    """The fields as JSON has them."""
    body = {name: getattr(queue, name) for name in FIELDS}
    return {**body, "price_hour": None if queue.price_hour is None else f"{queue.price_hour:.2f}"}


RANGES = (
    ("overlap", 1, 50), ("second_share", 0, 1), ("lease_seconds", 5, 86_400), ("max_skips", 1, 100),
    ("gold_rate", 0, 1), ("gold_start_rate", 0, 1), ("gold_start_items", 0, 1000), ("qualify_of", 0, 100),
    ("qualify_right", 0, 100), ("repeat_rate", 0, 0.2), ("repeat_after_days", 0, 365), ("control_rate", 0, 1),
)  # fmt: skip


def _check(queue: Queue) -> None:
    """The fields' own rules, then the ranges that the database enforces, told by field."""
    if not isinstance(queue.title, str) or not queue.title.strip():
        raise BadInput("title: a queue has a title.", where="title")
    for field, known in (("kind", Queue.KINDS), ("content_level", Queue.CONTENT_LEVELS)):
        if getattr(queue, field) not in known:
            raise BadInput(f"{field}: {getattr(queue, field)!r} is none of {', '.join(known)}.", where=field)
    check_rubric(queue.kind, queue.rubric)
    for name, low, high in RANGES:
        if not low <= getattr(queue, name) <= high:
            raise BadInput(f"{name}: expected a number from {low} to {high}.", where=name)
    if queue.qualify_right > queue.qualify_of:
        raise BadInput("qualify_right: more than the qualification has items.", where="qualify_right")
    if queue.skip_policy not in SKIP_POLICIES:
        raise BadInput(
            f"skip_policy: {queue.skip_policy!r} is none of {', '.join(SKIP_POLICIES)}.", where="skip_policy"
        )
    if queue.flag_role not in ("reviewer", "manager", "admin"):
        raise BadInput("flag_role: expected reviewer, manager or admin.", where="flag_role")
    if queue.price_hour is not None and not (isinstance(queue.price_hour, Decimal) and 0 <= queue.price_hour < 10**5):
        raise BadInput("price_hour: expected an amount from 0 to 99,999.", where="price_hour")
    for name in ("languages", "skills"):
        words = getattr(queue, name)
        if not isinstance(words, list) or not all(isinstance(w, str) and 0 < len(w) <= 40 for w in words):
            raise BadInput(f"{name}: expected a list of words of up to 40 characters.", where=name)
