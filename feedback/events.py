"""Writing down what happened, in the transaction that made it happen."""

from __future__ import annotations

from typing import Any

from .models import Event, User
from .rows import Step, inserting, run

# What webhooks may ask for.
PUBLISHED = (
    "item.settled",
    "dataset.ready",
    "run.finished",
    "decision.made",
    "deployment.changed",
    "alarm.raised",
)


def record(
    verb: str,
    thing: Any,
    *,
    actor: User | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Event:
    """One Event about `thing`, named by its public id."""
    event = draft(verb, thing, actor=actor, before=before, after=after)
    if event.outbox:
        event.save(force_insert=True)  # whoever publishes it wants its number
    else:
        run(inserting(event))
    return event


def recording(verb: str, thing: Any, *, actor: User | None = None, after: dict[str, Any] | None = None) -> Step:
    """`record` as a step, for those who run several at once."""
    return inserting(draft(verb, thing, actor=actor, after=after))


def draft(
    verb: str,
    thing: Any,
    *,
    actor: User | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Event:
    """The Event, not saved yet: for verbs that write many at once."""
    return Event(
        actor=actor,
        verb=verb,
        object_type=thing._meta.model_name,
        object_id=public_id(thing),
        before=before,
        after=after,
        outbox=verb in PUBLISHED,
    )


def public_id(thing: Any) -> str:
    """What the outside calls this row: slug, key, alias or uuid; an integer key only where there is no other."""
    for name in ("slug", "key", "alias", "username"):
        value = getattr(thing, name, None)
        if value:
            return str(value)
    return str(thing.pk)
