"""A calibration session: a group labels the same items blind, sees the spread, discusses, improves the guidelines.

The items' seats are kept for the group, one each, so the session uses nothing but ordinary leases and judgments,
and what was said in it counts like anything else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from . import assigning, events, quality, queues
from .errors import BadInput, Conflict
from .lifecycle import advance
from .models import Assignment, Calibration, Item, Judgment, Membership, Queue, User

ITEMS = 20


@transaction.atomic
def start(*, queue: Queue, people: list[User], count: int = ITEMS, actor: User) -> Calibration:
    """Keep `count` untouched items for these members. Raises BadInput or Conflict; then nothing has changed."""
    members = set(Membership.objects.filter(queue=queue, user__in=people).values_list("user_id", flat=True))
    if len(people) < 2 or len(members) < len({p.pk for p in people}):
        raise BadInput("people: two members of the queue or more.", where="people")
    if not 1 <= count <= 100:
        raise BadInput("count: 1 to 100 items.", where="count")
    items = list(_untouched(queue)[:count])
    if len(items) < count:
        raise Conflict(f"The queue has {len(items)} open items that nobody has seen; {count} are wanted.")
    try:
        with transaction.atomic():
            session = Calibration.objects.create(queue=queue, version_before=queue.guidelines_version)
    except IntegrityError:
        raise Conflict("A calibration of this queue is under way already.")
    session.items.set(items)
    session.people.set(people)
    for item in items:
        assigning.reserve(item=item, people=people, actor=actor)
    after = {"people": [p.username for p in people], "items": len(items), "version": session.version_before}
    events.record("calibration.started", queue, actor=actor, after=after)
    return session


def _untouched(queue: Queue) -> QuerySet[Item]:
    seen = Assignment.objects.filter(queue=queue).values("item")
    fresh = Item.objects.filter(queue=queue, status="open", gold__isnull=True)
    return fresh.exclude(pk__in=seen).order_by("-priority", "position")


@dataclass
class Progress:
    user: User
    done: int
    of: int


def progress(session: Calibration) -> list[Progress]:
    """How far each of the group is."""
    done = dict(_judgments(session).values_list("author").annotate(n=Count("item", distinct=True)))
    of = session.items.count()
    return [Progress(user, done.get(user.pk, 0), of) for user in session.people.order_by("username")]


def _judgments(session: Calibration) -> QuerySet[Judgment]:
    return Judgment.objects.filter(
        item__in=session.items.values("pk"), author__in=session.people.values("pk"), withdrawn_at__isnull=True,
        supersedes__isnull=True, purpose="label",
    )  # fmt: skip


@transaction.atomic
def reveal(*, session: Calibration, actor: User) -> None:
    """End the blind part; from now on the group sees the spread."""
    advance(session, "discussing")
    events.record("calibration.revealed", session.queue, actor=actor, after={"session": session.pk})


@dataclass
class Spread:
    """One item: what was said how often, and by whom."""

    item: Item
    answers: dict[str, list[str]]

    @property
    def agreed(self) -> bool:
        return len(self.answers) == 1


def spread(session: Calibration) -> list[Spread]:
    """What was said to each item, the most contested first. Raises Conflict while people are still labelling."""
    if session.status == "labelling":
        raise Conflict("The answers stay hidden until the session is revealed.")
    said: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item, answer, name in _judgments(session).values_list("item", "answer", "author__username"):
        said[item][quality.answer_words(answer)].append(name)
    rows = [Spread(item, dict(said[item.pk])) for item in session.items.select_related("prompt").order_by("position")]
    return sorted(rows, key=lambda row: -len(row.answers))


@transaction.atomic
def conclude(*, session: Calibration, guidelines: str, notes: str = "", actor: User) -> Queue:
    """Close the session with a new version of the guidelines (or the same words, if nothing needs changing)."""
    queue = queues.change(queue=session.queue, actor=actor, guidelines=guidelines)
    advance(session, "closed", version_after=queue.guidelines_version, notes=notes[:10_000])
    after = {"session": session.pk, "version": queue.guidelines_version}
    events.record("calibration.concluded", queue, actor=actor, after=after)
    return queue


def before_and_after(session: Calibration) -> dict[str, Any]:
    """Agreement in the session, and in the queue under the guidelines that came of it."""
    found: dict[str, Any] = {"before": quality.agreement(_judgments(session)), "after": None}
    if session.version_after is not None and session.version_after > session.version_before:
        later = Judgment.objects.filter(
            queue=session.queue, withdrawn_at__isnull=True, guidelines_version__gte=session.version_after,
            author_kind="human",
        )  # fmt: skip
        found["after"] = quality.agreement(later)
    return found
