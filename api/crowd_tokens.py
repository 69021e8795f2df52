"""Short-lived tokens for simulated people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.utils import timezone

from api import tokens
from feedback import crowd
from feedback.models import User

LIFE = timedelta(hours=12)


@contextmanager
def at_work(people: Iterable[User]) -> Iterator[dict[str, str]]:
    """Name -> token while they work; afterwards the tokens are revoked and unfinished leases handed back."""
    people = list(people)
    made = {user: tokens.create(user=user, name="simulated", expires_at=timezone.now() + LIFE) for user in people}
    try:
        yield {user.username: secret for user, (_, secret) in made.items()}
    finally:
        for row, _ in made.values():
            tokens.revoke(row=row)
        crowd.dismiss(people)
