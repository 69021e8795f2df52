"""Answers given in production come in, and so does what their readers made of them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone

from . import clean_text, events
from .errors import BadInput, NotFound
from .models import Interaction, Policy, Reaction, User

CHUNK = 500  # rows a transaction, when many are removed
LONGEST = 200_000  # characters of a content, correction or comment
SALT = "plumbline.reaction"


def log(*, rows: list[dict[str, Any]]) -> list[Interaction]:
    """Store answers: {"messages", "content", "policy"|"model"?, "consent"?, "session_id"?, "user_id"?, "tags"?,
    "scores"?, "latency_ms"?, "tokens"?}; all of them or none.

    Raises BadInput naming the index, NotFound for a policy that we do not have.
    """
    policies = _policies(rows)
    parsed = [_parse(row, f"[{i}]", policies) for i, row in enumerate(rows)]
    return Interaction.objects.bulk_create(parsed, batch_size=CHUNK)


def _policies(rows: list[dict[str, Any]]) -> dict[str, Policy]:
    named = [row.get(name) for row in rows for name in ("policy", "model")]
    return Policy.objects.in_bulk({name for name in named if isinstance(name, str)}, field_name="slug")


def _parse(row: dict[str, Any], where: str, policies: dict[str, Policy]) -> Interaction:
    try:
        messages = clean_text.check_messages(row.get("messages"), f"{where}.messages")
    except clean_text.BadText as bad:
        raise BadInput(f"{bad.path}: {bad.reason}", where=bad.path) from bad
    content = _text(row, "content", where, LONGEST)
    consent = row.get("consent") or "monitor"
    if consent not in Interaction.CONSENTS:
        raise _bad(where, "consent", f"{consent!r} is none of {', '.join(Interaction.CONSENTS)}")
    kept = {"messages": messages, "content": content, "user_id": _text(row, "user_id", where, 200)}
    return Interaction(
        policy=_policy(row, where, policies),
        model=_text(row, "model", where, 200) or _text(row, "policy", where, 200),
        consent=consent,
        session_id=_text(row, "session_id", where, 200),
        tags=_tags(row, where),
        scores=_scores(row, where),
        characters=len(content),
        tokens=_count(row, "tokens", where),
        latency_ms=_count(row, "latency_ms", where),
        **(kept if consent != "none" else {}),
    )


def _policy(row: dict[str, Any], where: str, policies: dict[str, Policy]) -> Policy | None:
    """The policy named; a `model` may be a name that we do not know, a `policy` may not."""
    slug = _text(row, "policy", where, 200)
    if slug and slug not in policies:
        raise NotFound(f"{where}.policy: there is no policy {slug!r}.", where=f"{where}.policy")
    return policies.get(slug or _text(row, "model", where, 200))


def _bad(where: str, name: str, message: str) -> BadInput:
    return BadInput(f"{where}.{name}: {message}.".lstrip("."), where=f"{where}.{name}".lstrip("."))


def _text(row: dict[str, Any], name: str, where: str, limit: int) -> str:
    value = row.get(name)
    if value is None:
        if name == "content":
            raise _bad(where, name, "missing")
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise _bad(where, name, f"expected text of at most {limit} characters")
    return value


def _count(row: dict[str, Any], name: str, where: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise _bad(where, name, "expected a whole number, not below zero")
    return value


def _tags(row: dict[str, Any], where: str) -> list[str]:
    tags = row.get("tags") or []
    if not isinstance(tags, list) or len(tags) > 50 or any(not isinstance(t, str) or len(t) > 100 for t in tags):
        raise _bad(where, "tags", "expected at most 50 words of at most 100 characters")
    return tags


def _scores(row: dict[str, Any], where: str) -> dict[str, float]:
    scores = row.get("scores") or {}
    fits = isinstance(scores, dict) and len(scores) <= 50
    if not fits or any(isinstance(v, bool) or not isinstance(v, int | float) for v in scores.values()):
        raise _bad(where, "scores", "expected at most 50 numbers by name")
    return {str(name)[:100]: float(value) for name, value in scores.items()}


def react(*, interaction_id: uuid.UUID | str, thumb: str = "", correction: str = "", comment: str = "") -> Reaction:
    """Record what an end user made of an answer. Raises BadInput for an empty reaction, NotFound."""
    if thumb not in ("", "up", "down"):
        raise BadInput("thumb: expected up or down.", where="thumb")
    for name, text in (("correction", correction), ("comment", comment)):
        if not isinstance(text, str) or len(text) > LONGEST:
            raise BadInput(f"{name}: expected text of at most {LONGEST} characters.", where=name)
    correction, comment = correction.strip(), comment.strip()
    if not (thumb or correction or comment):
        raise BadInput("Say something: a thumb, a correction or a comment.", where="thumb")
    with transaction.atomic():
        found = Interaction.objects.filter(pk=interaction_id).first()
        if found is None:
            raise NotFound("There is no such interaction.")
        if found.consent == "none" and (correction or comment):
            raise BadInput(
                "Only a thumb can be kept: this answer was given without consent to keep text.", where="thumb"
            )
        if thumb:
            Interaction.objects.filter(pk=found.pk).update(thumb=thumb)
        return Reaction.objects.create(interaction=found, thumb=thumb, correction=correction, comment=comment)


def link_token(interaction: Interaction) -> str:
    """The signed part of a feedback link: whoever holds it may react to this one answer."""
    return signing.dumps(str(interaction.pk), salt=SALT)


def open_link(token: str) -> Interaction:
    """The interaction of a signed link. Raises NotFound when it was tampered with, is too old, or is gone."""
    try:
        pk = signing.loads(token, salt=SALT, max_age=settings.PLUMBLINE_FEEDBACK_DAYS * 86_400)
    except signing.BadSignature as bad:
        raise NotFound("This link has ended or is not whole.") from bad
    found = Interaction.objects.filter(pk=pk).first()
    if found is None:
        raise NotFound("This answer is no longer kept.")
    return found


def forget_user(*, user_id: str, actor: User | None = None) -> int:
    """Delete every interaction of an end user, reactions included; returns how many."""
    if not user_id:
        raise BadInput("user_id: name the end user.", where="user_id")
    gone = _delete(Interaction.objects.filter(user_id=user_id))
    if actor is not None:
        events.record("interactions.forgotten", actor, actor=actor, after={"interactions": gone})
    return gone


def drop_expired() -> int:
    """Delete what is older than the retention period (PLUMBLINE_RETENTION_DAYS; 0 keeps everything)."""
    days = settings.PLUMBLINE_RETENTION_DAYS
    if not days:
        return 0
    return _delete(Interaction.objects.filter(created_at__lt=timezone.now() - timedelta(days=days)))


def _delete(rows: Any) -> int:
    gone = 0
    while ids := list(rows.values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic():
            Reaction.objects.filter(interaction__in=ids).delete()
            gone += Interaction.objects.filter(pk__in=ids).delete()[0]
    return gone
