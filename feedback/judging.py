"""Taking judgments: once each, never changed, never lost."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from . import clean_text, events, flagging, pausing, rubrics
from .assigning import mine
from .errors import (
    AlreadyJudged,
    BadInput,
    Conflict,
    IdempotencyConflict,
    LeaseLost,
    NotFound,
    PausedHere,
    StaleTransition,
)
from .intake import written
from .kinds import SLOTS, kind_of
from .lifecycle import advance, moving
from .models import Assignment, Event, Judgment, Membership, Response, User
from .rows import Step, inserting, run
from .spans import parse as spans_of

UNDO_LAST = 10


@dataclass
class Taken:
    judgment: Judgment
    created: bool


def judge(
    *,
    assignment_id: uuid.UUID | str,
    annotator: User,
    body: dict[str, Any],
    idempotency_key: str | None = None,
    evidence: dict[str, Any] | None = None,
) -> Taken:
    """Store what the annotator said. The same key and body give the same judgment again.

    Raises AlreadyJudged (with its id), LeaseLost, IdempotencyConflict or BadInput; then nothing is stored.
    """
    digest = hashlib.sha256(clean_text.canonical_json([str(assignment_id), body])).hexdigest()
    if idempotency_key and len(idempotency_key) > 100:
        raise BadInput("Idempotency-Key: 100 characters at most.", where="Idempotency-Key")
    assignment = mine(assignment_id=assignment_id, annotator=annotator)
    fields = _parse(assignment, body)
    try:
        with transaction.atomic():
            judgment = _store(assignment, annotator, fields, idempotency_key, digest, evidence or {})
    except (StaleTransition, IntegrityError, LeaseLost) as lost:
        return _lost_race(lost, assignment, annotator, idempotency_key, digest)
    return Taken(judgment, created=True)


def correct(*, judgment: Judgment, reviewer: User, body: dict[str, Any]) -> Judgment:
    """What the reviewer says instead: a new judgment that supersedes. Slots mean what the annotator was shown.

    Raises BadInput, or Conflict where it has been corrected already.
    """
    shown = judgment.assignment
    if shown is None:
        raise Conflict("Nobody was shown this one here: imported judgments are withdrawn, not corrected.")
    fields = _parse(shown, body)
    content = fields.pop("content")
    evidence = {"order": shown.order, **fields.pop("evidence"), "review": True}
    try:
        with transaction.atomic():
            fields["wrote"] = _written(shown, reviewer, content)
            made = Judgment.objects.create(
                item=judgment.item, queue=judgment.queue, author=reviewer, author_kind="human",
                guidelines_version=judgment.queue.guidelines_version, supersedes=judgment, evidence=evidence, **fields,
            )  # fmt: skip
            Judgment.objects.filter(pk=judgment.pk).update(gathered_at=None)
            events.record("judgment.corrected", made, actor=reviewer, after={"supersedes": str(judgment.pk)})
    except IntegrityError:
        raise Conflict("This judgment has been corrected already.")
    return made


def _earlier(annotator: User, key: str | None, digest: str) -> Judgment | None:
    if not key:
        return None
    found = Judgment.objects.filter(author=annotator, idempotency_key=key).first()
    if found is not None and found.body_hash != digest:
        raise IdempotencyConflict("This idempotency key was used with another body.", judgment=str(found.pk))
    return found


def _occupying(assignment: Assignment) -> list[Step]:
    """Steps that make the lease and its seat `judged`. A late answer (the lease ran out, or was handed
    back at sign-out) takes its seat again if it is still free."""
    now = timezone.now()
    if assignment.status == "judged":
        raise StaleTransition("already judged")
    if assignment.status not in ("leased", "expired", "released"):
        raise LeaseLost(f"You have {assignment.status} this item.", state=assignment.status)
    late, seat = assignment.status != "leased", assignment.seat
    if late and seat is not None and seat.status != "free":
        raise StaleTransition("The seat went to somebody else.")
    # A late one goes straight through: its place may hold another lease by now, and place is only about leases.
    moves = [moving(assignment, "judged", ended_at=now)]
    return moves if seat is None else [*moves, moving(seat, "judged")]


def _store(
    assignment: Assignment,
    annotator: User,
    fields: dict[str, Any],
    key: str | None,
    digest: str,
    evidence: dict[str, Any],
) -> Judgment:
    member = assignment.member  # type: ignore[attr-defined]
    if member is None:
        raise NotFound(f"There is no queue {assignment.queue.slug} among yours.")
    fields["wrote"] = _written(assignment, annotator, fields.pop("content"))
    judgment = Judgment(
        item=assignment.item,
        queue=assignment.queue,
        assignment=assignment,
        author=annotator,
        author_kind=member.kind,
        purpose=assignment.purpose,
        guidelines_version=assignment.queue.guidelines_version,
        idempotency_key=key or None,
        body_hash=digest,
        evidence={"order": assignment.order, **evidence, **fields.pop("evidence")},
        **fields,
    )
    made = events.recording("judgment.made", judgment, actor=annotator, after={"item": str(assignment.item.key)})
    run(*_occupying(assignment), inserting(judgment), made)
    if judgment.purpose in ("gold", "repeat"):
        pausing.look(member=member)
    if judgment.flags:
        flagging.look(item=assignment.item, queue=assignment.queue)
    return judgment


def _written(assignment: Assignment, author: User, content: str | None) -> Response | None:
    return None if content is None else written(prompt=assignment.item.prompt, content=content, author=author)


def _lost_race(lost: Exception, assignment: Assignment, annotator: User, key: str | None, digest: str) -> Taken:
    """Say what happened to a submission that came second: stored already, or the seat is gone.

    The key is looked up only here: its unique constraint has seen to it that nothing was stored twice.
    """
    if (earlier := _earlier(annotator, key, digest)) is not None:
        return Taken(earlier, created=False)
    standing = Judgment.objects.filter(assignment=assignment, withdrawn_at__isnull=True).first()
    if standing is not None:
        raise AlreadyJudged("You have judged this item already.", judgment=str(standing.pk))
    if isinstance(lost, LeaseLost):
        raise lost
    raise LeaseLost("Your time on this item ran out and somebody else has it now.")


def _parse(assignment: Assignment, body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadInput("Expected an object.", where="")
    try:
        body = clean_text.clean(body)
    except clean_text.BadText as bad:
        raise BadInput(f"{bad.path}: {bad.reason}", where=bad.path) from bad
    rubric = rubrics.parse(assignment.queue.rubric)
    answer, content = _answer(assignment, body, rubric)
    return {
        "answer": answer,
        "content": content,
        "spans": spans_of(body.get("spans"), assignment, rubric),
        "strength": _number(body, "strength", 1, 3),
        "duration_ms": _number(body, "duration_ms", 0, 2**31 - 1),
        "rationale": _rationale(body, rubric),
        "flags": _flags(body, [flag.name for flag in rubric.flags]),
        "evidence": {"slot": body["choice"]} if str(body.get("choice")) in SLOTS else {},
    }


def _answer(
    assignment: Assignment, body: dict[str, Any], rubric: rubrics.Rubric
) -> tuple[dict[str, Any], str | None]:
    """The answer, and the text that it brings where the kind writes one and the original was changed."""
    kind = kind_of(assignment.queue.kind)
    answer = kind.answer(body, assignment.order, rubric)
    if not kind.writes or not answer["edited"]:
        return answer, None
    if body["content"] == assignment.item.ordered_responses()[0].content:
        return {"edited": False}, None
    return answer, body["content"]


def _number(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInput(f"{name}: expected a whole number from {low} to {high}.", where=name)
    return value


def _text(body: dict[str, Any], name: str, limit: int) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str) or len(value) > limit:
        raise BadInput(f"{name}: expected text of at most {limit} characters.", where=name)
    return value


def _rationale(body: dict[str, Any], rubric: rubrics.Rubric) -> str:
    text = _text(body, "rationale", 10_000)
    if rubric.rationale == "required" and not text.strip():
        raise BadInput("rationale: this queue asks why; write a few words.", where="rationale")
    return text


def _flags(body: dict[str, Any], known: list[str]) -> list[str]:
    flags = body.get("flags") or []
    if not isinstance(flags, list) or any(flag not in known for flag in flags):
        raise BadInput(f"flags: expected a list out of {', '.join(known)}.", where="flags")
    return sorted(set(flags))


def recent(*, annotator: User, limit: int = UNDO_LAST) -> list[Judgment]:
    """The person's last standing judgments, newest first: those that can be undone."""
    return list(
        Judgment.objects.filter(author=annotator, assignment__isnull=False, withdrawn_at__isnull=True)
        .select_related("item__prompt", "queue")
        .order_by("-created_at")[:limit]
    )


def standing_of(user: User, items: Any) -> list[Judgment]:
    """What this person said about these items and has not taken back."""
    return list(Judgment.objects.filter(author=user, item__in=items, withdrawn_at__isnull=True, purpose="label"))


@transaction.atomic
def undo(*, judgment_id: uuid.UUID | str, annotator: User) -> Assignment:
    """Withdraw one of the last ten judgments; the same assignment is leased again in its seat."""
    judgment = Judgment.objects.filter(pk=judgment_id, author=annotator).select_related("assignment").first()
    if judgment is None or judgment.assignment is None:
        raise NotFound("There is no such judgment of yours.")
    if judgment.withdrawn_at is not None:
        raise Conflict("This judgment was taken back already.")
    if judgment.queue.status != "open":
        raise Conflict(f"This queue is {judgment.queue.status}; its judgments stand.")
    if Membership.objects.filter(queue=judgment.queue, user=annotator, paused_at__isnull=False).exists():
        raise PausedHere("You are paused in this queue; your judgments stand.", queue=judgment.queue.slug)
    if judgment not in recent(annotator=annotator):
        raise Conflict(f"Only the last {UNDO_LAST} judgments can be undone.")
    withdraw_rows(Judgment.objects.filter(pk=judgment.pk), reason="undone", actor=annotator)
    return _lease_again(judgment.assignment)


def _lease_again(assignment: Assignment) -> Assignment:
    """Back into the same seat, at place 0; whatever was shown there goes back to the queue."""
    from datetime import timedelta

    from .assigning import _give_back

    for held in Assignment.objects.filter(
        queue=assignment.queue, annotator=assignment.annotator, place=0, status="leased"
    ).select_related("seat"):
        _give_back(held, "released")
    now = timezone.now()
    until = now + timedelta(seconds=assignment.queue.lease_seconds)
    advance(assignment, "leased", place=0, shown_at=now, expires_at=until, ended_at=None)
    if assignment.seat is not None:
        advance(assignment.seat, "leased")
    if assignment.item.status == "settled":
        advance(assignment.item, "open", settled_at=None)
    return assignment


def withdraw_rows(judgments: Any, *, reason: str, actor: User | None) -> int:
    """Take judgments out everywhere: flagged, never deleted; `gathered_at` empty makes preferences recount."""
    fields = {"withdrawn_at": timezone.now(), "withdrawn_reason": reason[:300], "gathered_at": None}
    return _flag(judgments.filter(withdrawn_at__isnull=True), fields, "judgment.withdrawn", reason, actor)


def reinstate_rows(judgments: Any, *, reason: str, actor: User | None) -> int:
    """Lift a withdrawal. Raises Conflict where the seat has been judged again since; then nothing changes."""
    if judgments.filter(assignment__status="void").exists():
        raise Conflict("The seat of one of these was given to somebody else since.")
    fields = {"withdrawn_at": None, "withdrawn_reason": "", "gathered_at": None}
    try:
        with transaction.atomic():
            return _flag(judgments.filter(withdrawn_at__isnull=False), fields, "judgment.reinstated", reason, actor)
    except IntegrityError as taken:
        raise Conflict("One of these was judged again since, and an assignment has one judgment.") from taken


def _flag(judgments: Any, fields: dict[str, Any], verb: str, reason: str, actor: User | None) -> int:
    ids = list(judgments.values_list("pk", flat=True))
    for start in range(0, len(ids), 1000):
        with transaction.atomic():
            chunk = ids[start : start + 1000]
            Judgment.objects.filter(pk__in=chunk).update(**fields)
            Event.objects.bulk_create(
                Event(actor=actor, verb=verb, object_type="judgment", object_id=str(pk), after={"reason": reason[:300]})
                for pk in chunk
            )
    return len(ids)
