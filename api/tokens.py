"""Tokens: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from api.models import Token
from feedback import events
from feedback.models import User
from feedback.rows import Columns, fetch

PREFIX = "pl_"
TOKEN, USER = Columns(Token, "t"), Columns(User, "u", without=("password", "first_name", "last_name", "email"))
LIVE = f"""SELECT {TOKEN.sql}, {USER.sql} FROM api_token t JOIN feedback_user u ON u.id = t.user_id
           WHERE t.digest = %s AND t.revoked_at IS NULL"""
USED_EVERY = timedelta(minutes=1)  # last_used_at is no finer, so that reading with a token seldom writes


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def create(
    *, user: User, name: str = "", scope: str = "", expires_at: datetime | None = None, actor: User | None = None
) -> tuple[Token, str]:
    """A new token of this person: the row, and the token itself, which nobody can read again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    row = Token.objects.create(
        user=user, digest=digest_of(secret), hint=secret[:8], name=name[:100], scope=scope, expires_at=expires_at
    )
    events.record("token.created", row, actor=actor, after={"user": user.username, "hint": row.hint})
    return row, secret


def find(token: str) -> Token | None:
    """The live token with its user; None where it is unknown, revoked, expired, or its user was shut out."""
    found = fetch(LIVE, [digest_of(token)])
    if not found:
        return None
    row = TOKEN.read(found[0])
    row.user = USER.read(found[0][len(TOKEN) :])
    if not row.user.is_active or (row.expires_at is not None and row.expires_at <= timezone.now()):
        return None
    return row


def touch(row: Token) -> None:
    """Note that the token was used, at most once a minute."""
    now = timezone.now()
    if row.last_used_at is not None and now - row.last_used_at < USED_EVERY:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_EVERY)
    Token.objects.filter(stale, pk=row.pk).update(last_used_at=now)


@transaction.atomic
def revoke(*, row: Token, actor: User | None = None) -> bool:
    """End a token; False where it had ended already."""
    ended = Token.objects.filter(pk=row.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
    if ended:
        events.record("token.revoked", row, actor=actor, after={"hint": row.hint})
    return bool(ended)
