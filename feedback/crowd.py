"""Accounts of simulated people: plainly named, without a password, marked in every queue they work in."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from . import assigning, events
from .errors import BadInput, Conflict
from .models import Membership, Queue, User

MOST = 64


@transaction.atomic
def recruit(*, queue: Queue, count: int, actor: User | None = None) -> list[User]:
    """`sim-01`, `sim-02`, ... as members of kind `simulated`. Conflict where such a name works there as a human."""
    if not 1 <= count <= MOST:
        raise BadInput(f"annotators: 1 to {MOST}.", where="annotators")
    names = [f"sim-{n:02d}" for n in range(1, count + 1)]
    people = [_account(name) for name in names]
    members = {m.user_id: m for m in Membership.objects.filter(queue=queue, user__in=people)}
    fresh = [
        Membership(queue=queue, user=user, kind="simulated") for user in people if user.pk not in members
    ]
    if any(m.kind != "simulated" for m in members.values()):
        raise Conflict(f"Some of {names[0]} to {names[-1]} are members of {queue.slug} as real people.")
    Membership.objects.bulk_create(fresh)
    if fresh:
        after = {"kind": "simulated", "usernames": [m.user.username for m in fresh]}
        events.record("members.added", queue, actor=actor, after=after)
    return people


def _account(name: str) -> User:
    user, created = User.objects.get_or_create(username=name, defaults={"role": "annotator"})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def dismiss(people: Iterable[User]) -> int:
    """Hand back the leases they still hold, so that nobody waits for them; returns how many."""
    return sum(assigning.release_all(annotator=user) for user in people)
