"""Flags of harm, a ladder: one vote is noted; two hold the item back; then the role that the queue names decides."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import events
from .errors import NotAllowed, StaleTransition
from .lifecycle import advance
from .models import FlagCase, Item, Judgment, Membership, Queue, User

GRAVE = ("harmful", "personal_data")
VOTES = 2
RANK = {"annotator": 0, "reviewer": 1, "manager": 2, "admin": 3}


@transaction.atomic
def look(*, item: Item, queue: Queue) -> list[FlagCase]:
    """Raise a case for each grave flag that two people have given the item, and hold the item; cases new now."""
    rows = Judgment.objects.filter(item=item, withdrawn_at__isnull=True, author_kind="human")
    voters: dict[str, set[int | None]] = {flag: set() for flag in GRAVE}
    for author, flags in rows.exclude(flags=[]).values_list("author_id", "flags"):
        for flag in set(flags) & set(GRAVE):
            voters[flag].add(author)
    return [c for flag, who in voters.items() if len(who) >= VOTES and (c := _raise(item, flag)) is not None]


def _raise(item: Item, flag: str) -> FlagCase | None:
    case, made = FlagCase.objects.get_or_create(item=item, flag=flag)
    if not made:
        return None
    events.record("flag.raised", item, after={"flag": flag})
    item.refresh_from_db(fields=["status"])
    if item.status in ("open", "settled"):
        try:
            advance(item, "held")
        except StaleTransition:
            return case  # settled this moment: the case stands all the same
    return case


def cases(*, queue: Queue) -> QuerySet[FlagCase]:
    """Cases that wait for a decision, oldest first."""
    waiting = FlagCase.objects.filter(item__queue=queue, status="raised")
    return waiting.select_related("item__prompt").order_by("pk")


def may_decide(queue: Queue, user: User) -> bool:
    if user.is_admin:
        return True
    member = Membership.objects.filter(queue=queue, user=user).first()
    return member is not None and RANK[member.role] >= RANK[queue.flag_role]


@transaction.atomic
def decide(*, case: FlagCase, confirm: bool, actor: User, note: str = "") -> None:
    """Confirmed: the item is unusable and its judgments teach nothing. Dismissed: it goes on where it was."""
    queue = case.item.queue
    if not may_decide(queue, actor):
        raise NotAllowed(f"In this queue a {queue.flag_role} decides about flags.")
    advance(case, "confirmed" if confirm else "dismissed", decided_by=actor, note=note[:2000])
    events.record("flag.decided", case.item, actor=actor, after={"flag": case.flag, "confirmed": confirm})
    item = case.item
    if confirm and item.status in ("held", "open"):
        advance(item, "unusable", settled_at=timezone.now())
    elif item.status == "held" and not FlagCase.objects.filter(item=item, status="raised").exists():
        advance(item, "open")  # the sweep settles it again where every seat is judged
        Judgment.objects.filter(item=item).update(gathered_at=None)
