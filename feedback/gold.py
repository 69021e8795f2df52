"""Items with known answers, and repeats: which a person gets when, and whether an answer is right.

To the annotator they are items like any other. Gold has no seats: everybody may meet it, once.
"""

from __future__ import annotations

import hmac
import random
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from . import events
from .errors import BadInput, Conflict
from .kinds import SLOTS
from .models import Item, ItemResponse, Judgment, Membership, Prompt, Queue, User
from .rows import Columns, fetch

ITEM, PROMPT = Columns(Item, "i"), Columns(Prompt, "p")
DRAWN_FROM = 50  # candidates at most, of which one is drawn
GOLD_SPACE = uuid.UUID("3b1f7a52-92c4-5d0e-a6b7-1c8de4f05b66")

PICK = f"""
SELECT {ITEM.sql}, {PROMPT.sql} FROM feedback_item i JOIN feedback_prompt p ON p.id = i.prompt_id
WHERE i.queue_id = %s AND i.gold IS NOT NULL AND i.status = 'open'
AND NOT EXISTS (SELECT 1 FROM feedback_assignment a JOIN feedback_item j ON j.id = a.item_id
                WHERE a.annotator_id = %s AND j.prompt_id = i.prompt_id AND j.queue_id = i.queue_id
                AND a.status NOT IN ('expired', 'released'))
LIMIT {DRAWN_FROM}
"""
PICK_REPEAT = f"""
SELECT {ITEM.sql}, {PROMPT.sql} FROM feedback_assignment a
JOIN feedback_item i ON i.id = a.item_id JOIN feedback_prompt p ON p.id = i.prompt_id
WHERE a.annotator_id = %s AND a.queue_id = %s AND a.status = 'judged' AND a.purpose = 'label' AND a.ended_at <= %s
AND NOT EXISTS (SELECT 1 FROM feedback_assignment b
                WHERE b.annotator_id = a.annotator_id AND b.item_id = a.item_id AND b.purpose = 'repeat')
LIMIT {DRAWN_FROM}
"""
FOR_JUDGE = f"""
SELECT {ITEM.sql}, {PROMPT.sql} FROM feedback_item i JOIN feedback_prompt p ON p.id = i.prompt_id
WHERE i.queue_id = %s AND i.status IN ('open', 'settled') AND i.gold IS NULL
AND NOT EXISTS (SELECT 1 FROM feedback_assignment a
                WHERE a.annotator_id = %s AND a.item_id = i.id AND a.status NOT IN ('expired', 'released'))
ORDER BY i.position LIMIT 1
"""
SEEN_BEFORE = """SELECT COUNT(*) FROM (SELECT 1 FROM feedback_assignment
                 WHERE annotator_id = %s AND queue_id = %s LIMIT %s) AS seen"""


def is_due(queue: Queue, member: Membership) -> bool:
    """Whether the person's next item is to be gold: all of a qualification; then one in each block of 1/rate while
    they are new, at a place that they cannot foresee; then by chance."""
    if queue.gold_rate == 0 and queue.qualify_of == 0:
        return False
    few = max(queue.gold_start_items, queue.qualify_of)
    seen = fetch(SEEN_BEFORE, [member.user_id, queue.pk, few])[0][0] if few else 0
    if seen < queue.qualify_of and member.qualified_at is None:
        return True
    if queue.gold_rate == 0:
        return False
    if seen < queue.gold_start_items and queue.gold_start_rate > 0:
        block = max(1, round(1 / queue.gold_start_rate))
        return seen % block == _place_in_block(member, seen // block, block)
    return random.random() < queue.gold_rate


def _place_in_block(member: Membership, number: int, size: int) -> int:
    secret = hmac.new(settings.SECRET_KEY.encode(), f"gold:{member.pk}:{number}".encode(), "sha256").digest()
    return int.from_bytes(secret[:8], "big") % size


def pick(queue: Queue, annotator: User) -> Item | None:
    """Gold that this person has not met (nor the item that it was promoted from)."""
    return _one_of(fetch(PICK, [queue.pk, annotator.pk]))


def repeat_is_due(queue: Queue) -> bool:
    return queue.repeat_rate > 0 and random.random() < queue.repeat_rate


def pick_repeat(queue: Queue, annotator: User) -> Item | None:
    """One of the person's own items, answered long enough ago and never asked again."""
    from .rows import adapt

    before = timezone.now() - timedelta(days=queue.repeat_after_days)
    cutoff = adapt(Judgment, "created_at", before)
    return _one_of(fetch(PICK_REPEAT, [annotator.pk, queue.pk, cutoff]))


def for_model_judge(queue: Queue, annotator: User) -> Item | None:
    """The next item that a model judge has not given its opinion on; nobody's seat is taken."""
    return _one_of(fetch(FOR_JUDGE, [queue.pk, annotator.pk]))


def _one_of(rows: list[tuple[Any, ...]]) -> Item | None:
    if not rows:
        return None
    row = random.choice(rows)
    item = ITEM.read(row)
    item.prompt = PROMPT.read(row[len(ITEM) :])
    return item


# --- known answers -------------------------------------------------------------------------------------
def check(kind: str, gold: Any, count: int, where: str) -> None:
    """Raises BadInput unless `gold` is a known answer to an item of `count` responses."""
    wanted = {
        "comparison": f"{{'choice': one of {', '.join([*SLOTS[:count], 'tie', 'both_bad'])}}}",
        "thumbs": "{'thumb': 'up' or 'down'}",
        "rating": "{'ratings': {attribute: whole number}}",
        "ranking": "{'ranking': [[slot, ...], ...]} with every slot once",
    }
    if kind not in wanted:
        raise BadInput(f"{where}.gold: items of kind {kind} have no known answer.", where=f"{where}.gold")
    if not isinstance(gold, dict) or not _fits(kind, gold, count):
        raise BadInput(f"{where}.gold: expected {wanted[kind]}.", where=f"{where}.gold")


def _fits(kind: str, gold: dict[str, Any], count: int) -> bool:
    if not isinstance(gold.get("attention", False), bool):
        return False
    if kind == "comparison":
        return gold.get("choice") in [*SLOTS[:count], "tie", "both_bad"]
    if kind == "thumbs":
        return gold.get("thumb") in ("up", "down")
    if kind == "rating":
        ratings = gold.get("ratings")
        return isinstance(ratings, dict) and bool(ratings) and all(isinstance(n, int) for n in ratings.values())
    tiers = gold.get("ranking")
    flat = [s for tier in tiers for s in tier] if isinstance(tiers, list) and all(map(_is_list, tiers)) else []
    return sorted(map(str, flat)) == list(SLOTS[:count])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def is_right(kind: str, gold: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a stored answer (responses by position) is the known one.

    A rating is right within one step on every attribute, a ranking where it puts the best first.
    """
    if kind == "comparison":
        return position(gold.get("choice")) == answer.get("choice")
    if kind == "thumbs":
        return gold.get("thumb") == answer.get("thumb")
    if kind == "rating":
        given = (answer.get("ratings") or [{}])[0]
        return all(name in given and abs(given[name] - n) <= 1 for name, n in gold.get("ratings", {}).items())
    best = gold.get("ranking") or [[]]
    first = answer.get("ranking") or [[]]
    return {position(slot) for slot in best[0]} == set(first[0])


def position(choice: Any) -> Any:
    """A gold choice ("B") as answers are stored: by position, or the word itself."""
    return SLOTS.index(choice) if isinstance(choice, str) and choice in SLOTS else choice


@transaction.atomic
def promote(*, item: Item, gold: dict[str, Any], actor: User | None = None) -> tuple[Item, bool]:
    """A gold copy of an item whose answer is settled; the item itself goes on teaching. Returns (copy, new)."""
    if item.gold is not None:
        raise Conflict("This item is gold already.", item=str(item.key))
    responses = item.ordered_responses()
    check(item.queue.kind, gold, len(responses), "it")
    key = uuid.uuid5(GOLD_SPACE, str(item.key))
    copy, made = Item.objects.get_or_create(
        key=key,
        defaults={
            "queue": item.queue, "prompt": item.prompt, "arm": item.arm, "gold": gold, "language": item.language,
            "skill": item.skill, "position": item.position,
        },
    )  # fmt: skip
    if made:
        ItemResponse.objects.bulk_create(
            [ItemResponse(item=copy, response=r, position=n) for n, r in enumerate(responses)]
        )
        events.record("item.promoted_to_gold", item, actor=actor, after={"gold": gold, "copy": str(key)})
    return copy, made


@transaction.atomic
def retire(*, item: Item, actor: User | None = None) -> None:
    """A gold item that turned out to be wrong is asked no more, and its answers count against nobody."""
    Item.objects.filter(pk=item.pk, gold__isnull=False).update(status="closed")
    events.record("item.gold_retired", item, actor=actor, before={"gold": item.gold})
