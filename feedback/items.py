"""Finding items of a queue, and doing one thing to many of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Q, QuerySet

from . import assigning, events, gold
from .errors import BadInput, Conflict, StaleTransition
from .lifecycle import EDGES, advance
from .models import Item, Judgment, Queue, Seat, User

STATES = tuple(EDGES["item"])
MOST = 10_000  # items in one go
CHUNK = 200  # a transaction


@dataclass(frozen=True)
class Asked:
    """What somebody looks for: a state, an arm, a language, gold or not, words in the prompt or a key."""

    status: str = ""
    arm: str = ""
    language: str = ""
    gold: str = ""
    q: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        return cls(**{name: str(given.get(name, "")).strip()[:200] for name in cls.__dataclass_fields__})

    def query(self) -> str:
        return urlencode({name: value for name, value in asdict(self).items() if value})


def find(*, queue: Queue, asked: Asked) -> QuerySet[Item]:
    """The items asked for, in the order in which they are given out."""
    rows = Item.objects.filter(queue=queue).exclude(status="staged")
    for name in ("status", "arm", "language"):
        if value := getattr(asked, name):
            rows = rows.filter(**{name: value})
    if asked.gold:
        rows = rows.filter(gold__isnull=asked.gold != "yes")
    if asked.q:
        rows = rows.filter(_words(asked.q))
    return rows.select_related("prompt").order_by("-priority", "position", "pk")


def _words(text: str) -> Q:
    found = Q(prompt__messages__icontains=text) | Q(prompt__external_id=text) | Q(prompt__key__startswith=text)
    bare = text.replace("-", "")
    if len(bare) == 32 and all(c in "0123456789abcdef" for c in bare.lower()):
        found |= Q(key=text)
    return found


def act(*, queue: Queue, rows: QuerySet[Item], action: str, value: str, people: list[str], actor: User) -> str:
    """Do `action` to the items; returns what was done, in words. Raises BadInput, Conflict."""
    if action not in ACTIONS:
        raise BadInput("action: choose what to do.", where="action")
    ids = list(rows.values_list("pk", flat=True)[: MOST + 1])
    if not ids:
        raise BadInput("item: choose at least one.", where="item")
    if len(ids) > MOST:
        raise BadInput(f"item: {MOST} at most in one go; narrow it down.", where="item")
    work = ACTIONS[action](queue, value, people, actor)
    done = 0
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            part = list(Item.objects.filter(pk__in=ids[start : start + CHUNK]).select_related("queue"))
            done += sum(bool(work(item)) for item in part)
    after = {"action": action, "value": value, "people": people, "items": done}
    events.record("items.changed", queue, actor=actor, after=after)
    return f"{done} of {len(ids)} items: {WORDS[action]}."


Work = Callable[[Item], Any]


def _prioritise(queue: Queue, value: str, people: list[str], actor: User) -> Work:
    number = _number(value, -1_000_000, 1_000_000)

    def work(item: Item) -> bool:
        Item.objects.filter(pk=item.pk).update(priority=number)
        Seat.objects.filter(item=item).update(priority=number)
        return True

    return work


def _moving(to: str) -> Callable[[Queue, str, list[str], User], Work]:
    def begin(queue: Queue, value: str, people: list[str], actor: User) -> Work:
        def work(item: Item) -> bool:
            try:
                with transaction.atomic():
                    advance(item, to)
            except (Conflict, StaleTransition):
                return False
            return True

        return work

    return begin


def _overlap(queue: Queue, value: str, people: list[str], actor: User) -> Work:
    to = _number(value, 1, 50)
    return lambda item: assigning.raise_overlap(item=item, to=to, actor=actor)


def _assign(queue: Queue, value: str, people: list[str], actor: User) -> Work:
    found = list(User.objects.filter(username__in=people, memberships__queue=queue))
    if not found or len(found) < len(set(people)):
        raise BadInput("person: choose members of this queue.", where="person")
    return lambda item: item.gold is None and assigning.reserve(item=item, people=found, actor=actor)


def _free(queue: Queue, value: str, people: list[str], actor: User) -> Work:
    """Take back what is leased or kept, so that anybody may have it."""

    def work(item: Item) -> int:
        held = item.assignments.filter(status="leased").select_related("seat")
        back = sum(assigning.hand_back(assignment, "released") for assignment in held)
        return back + item.seats.filter(status="free", reserved_for__isnull=False).update(reserved_for=None)

    return work


def _promote(queue: Queue, value: str, people: list[str], actor: User) -> Work:
    """Gold from items whose standing answers all say the same."""

    def work(item: Item) -> bool:
        answer = agreed_answer(item)
        if item.gold is not None or answer is None:
            return False
        return gold.promote(item=item, gold=answer, actor=actor)[1]

    return work


def agreed_answer(item: Item) -> dict[str, Any] | None:
    """The answer that everybody gave, as gold words it; None where they differ, or nobody answered."""
    rows = Judgment.objects.filter(item=item, withdrawn_at__isnull=True, superseded_by__isnull=True, purpose="label")
    said = {str(answer.get("choice")): answer.get("choice") for answer in rows.values_list("answer", flat=True)}
    if len(said) != 1 or None in said.values():
        return None
    choice = next(iter(said.values()))
    return {"choice": "ABCDEFGHI"[choice] if isinstance(choice, int) else choice}


def _number(value: str, low: int, high: int) -> int:
    try:
        number = int(value)
    except ValueError:
        raise BadInput("value: expected a whole number.", where="value")
    if not low <= number <= high:
        raise BadInput(f"value: expected {low} to {high}.", where="value")
    return number


ACTIONS: dict[str, Callable[[Queue, str, list[str], User], Work]] = {
    "priority": _prioritise, "close": _moving("closed"), "open": _moving("open"), "overlap": _overlap,
    "assign": _assign, "free": _free, "gold": _promote,
}  # fmt: skip
WORDS = {
    "priority": "priority set", "close": "closed", "open": "open again", "overlap": "overlap raised",
    "assign": "kept for the people chosen", "free": "given back to everybody", "gold": "copied as gold",
}  # fmt: skip


def told(item: Item) -> dict[str, Any]:
    """What those who look after a queue may see of an item: the answers without their authors' names."""
    rows = item.judgments.filter(withdrawn_at__isnull=True).order_by("created_at")
    return {
        "item": item,
        "responses": list(zip("ABCDEFGHI", item.ordered_responses(), strict=False)),
        "judgments": [{"judgment": row, "number": n} for n, row in enumerate(rows, start=1)],
        "seats": item.seats.order_by("number"),
        "comments": item.comments.select_related("author").order_by("pk"),
        "cases": item.flag_cases.order_by("pk"),
        "agreed": agreed_answer(item),
    }
