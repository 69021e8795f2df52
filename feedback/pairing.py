"""Putting prompts with their responses into a queue, and seats beside them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, Q

from . import events, gold
from .assigning import raise_overlap
from .errors import BadInput, Conflict
from .kinds import Kind, kind_of
from .models import Item, ItemResponse, Preference, Prompt, Queue, Response, Seat, User

BATCH = 500
ITEM_SPACE = uuid.UUID("6f1c1f5e-8f0e-5b8a-9c35-2f4b7c1d9a10")


@dataclass
class Draft:
    """An item to be: a prompt, its responses by position, and why it is asked."""

    prompt: Prompt
    responses: Sequence[Response]
    arm: str = "import"
    priority: int = 0
    gold: dict[str, Any] | None = None
    language: str = ""
    skill: str = ""


def item_key(queue: Queue, prompt: Prompt, responses: Sequence[Response]) -> uuid.UUID:
    return uuid.uuid5(ITEM_SPACE, "|".join([queue.slug, prompt.key, *sorted(r.key for r in responses)]))


def add_items(*, queue: Queue, drafts: list[Draft], actor: User | None = None) -> tuple[list[Item], int]:
    """Items with their seats, in the order given; returns (items, how many are new). The same pair twice is one item.

    Raises BadInput naming the index; nothing is written then.
    """
    for i, draft in enumerate(drafts):
        _check(queue, draft, f"[{i}]")
    keys = [item_key(queue, d.prompt, d.responses) for d in drafts]
    created = 0
    for start in range(0, len(drafts), BATCH):
        created += _write(queue, drafts[start : start + BATCH], keys[start : start + BATCH], actor)
    found = {item.key: item for item in Item.objects.filter(key__in=keys)}
    return [found[key] for key in keys], created


def _check(queue: Queue, draft: Draft, where: str) -> None:
    texts = [r.content.strip() for r in draft.responses]
    _check_count(kind_of(queue.kind), len(texts), where)
    if len(set(texts)) != len(texts):
        raise BadInput(f"{where}.responses: the answers do not differ.", where=where)
    if any(r.prompt_id != draft.prompt.pk for r in draft.responses):
        raise BadInput(f"{where}.responses: they answer another prompt.", where=where)
    if draft.prompt.split == "gate" and queue.purpose != "gate":
        raise Conflict(f"{where}.prompt: gate prompts are read by decisions only.", where=where)
    if queue.purpose == "gate" and draft.prompt.split != "gate":
        raise Conflict(f"{where}.prompt: a decision reads gate prompts only.", where=where)
    if draft.gold is not None:
        gold.check(queue.kind, draft.gold, len(texts), where)


def _check_count(kind: Kind, count: int, where: str) -> None:
    if not kind.fewest <= count <= kind.most:
        wanted = str(kind.fewest) if kind.fewest == kind.most else f"{kind.fewest} to {kind.most}"
        raise BadInput(f"{where}.responses: {kind.title} takes {wanted} responses an item, not {count}.", where=where)


@transaction.atomic
def _write(queue: Queue, drafts: list[Draft], keys: list[uuid.UUID], actor: User | None) -> int:
    known = set(Item.objects.filter(key__in=keys).values_list("key", flat=True))
    last = Item.objects.filter(queue=queue).aggregate(last=Max("position"))["last"] or 0
    fresh = {k: d for k, d in zip(keys, drafts, strict=True) if k not in known}
    items = [
        Item(
            key=k,
            queue=queue,
            prompt=d.prompt,
            arm=d.arm,
            priority=d.priority,
            gold=d.gold,
            language=d.language,
            skill=d.skill,
            position=last + n,
        )
        for n, (k, d) in enumerate(fresh.items(), start=1)
    ]
    Item.objects.bulk_create(items)
    links = [
        ItemResponse(item=item, response=r, position=p)
        for item, d in zip(items, fresh.values(), strict=True)
        for p, r in enumerate(d.responses)
    ]
    ItemResponse.objects.bulk_create(links)
    Seat.objects.bulk_create(
        [seat for item in items for seat in seats_for(item, range(1, overlap_of(queue, item.key) + 1))]
    )
    if items:
        events.record("items.added", queue, actor=actor, after={"items": len(items)})
    return len(items)


def seats_for(item: Item, numbers: range) -> list[Seat]:
    """Seat rows of an item. Gold items have none: everyone may see them."""
    if item.gold is not None:
        return []
    return [
        Seat(item=item, queue_id=item.queue_id, number=n, priority=item.priority, position=item.position)
        for n in numbers
    ]


def overlap_of(queue: Queue, key: uuid.UUID) -> int:
    """How many seats an item begins with: the queue's overlap, one more for the share that the queue asks twice.

    Which items those are is a hash's choice, so it depends on nothing that anybody answered.
    """
    return queue.overlap + (_drawn(key) < queue.second_share)


def _drawn(key: uuid.UUID) -> float:
    """A number in [0, 1) that an item keeps for ever."""
    return int.from_bytes(hashlib.sha256(f"second:{key}".encode()).digest()[:8], "big") / 2**64


def raise_share(*, queue: Queue, to: int, share: float, actor: User | None = None) -> int:
    """Raise the overlap of a share of the queue's items (a hash's choice, the same each time); how many seats."""
    if not 1 <= to <= 50:
        raise BadInput("to: an overlap from 1 to 50.", where="to")
    if not 0 < share <= 1:
        raise BadInput("share: a number above 0, up to 1.", where="share")
    added = 0
    wanted = Item.objects.filter(queue=queue, gold__isnull=True, status__in=("open", "settled"))
    for pk, key in list(wanted.values_list("pk", "key")):
        if _drawn(key) < share:
            added += raise_overlap(item=Item.objects.get(pk=pk), to=to, actor=actor)
    return added


COUNTS = ("n_a", "n_b", "n_tie", "n_both_bad")
SPLIT = reduce(or_, (Q(**{f"{x}__gt": 0, f"{y}__gt": 0}) for x, y in combinations(COUNTS, 2)))


def ask_a_third(*, limit: int = 500) -> int:
    """A third seat for items whose two answers differ, in queues that want it; returns how many."""
    differing = Preference.objects.filter(SPLIT, item=OuterRef("pk"))
    split = (
        Item.objects.filter(Exists(differing), queue__third_on_disagreement=True, status="settled")
        .exclude(queue__status__in=("closed", "archived"))
        .annotate(have=Count("seats"))
        .filter(have=2)
    )
    return sum(raise_overlap(item=item, to=3) for item in split[:limit])
