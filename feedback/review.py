"""Looking at judgments again: disputed ones, flagged ones, and some of everybody's, blind to who made them.

A reviewer accepts a judgment, corrects it (a new judgment that supersedes it) or rejects it with a reason (it is
withdrawn, and its seat is free for somebody else). Who made it is told afterwards.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from . import assigning, events, judging
from .errors import BadInput, Conflict, NotAllowed, NotFound
from .models import Comment, Item, Judgment, Membership, Preference, Queue, Review, User
from .pairing import SPLIT

SAMPLE = 3  # of each person's judgments looked at in a week
WEEK = timedelta(days=7)
NEWEST = 200  # of a person's judgments, from which the sample is taken
Found = tuple[Judgment, str]


def may_review(queue: Queue, user: User) -> bool:
    if user.is_admin:
        return True
    return Membership.objects.filter(queue=queue, user=user, role__in=("reviewer", "manager")).exists()


def waiting(*, queue: Queue, reviewer: User) -> QuerySet[Judgment]:
    """Judgments that this reviewer may look at and nobody has: not their own, not imported, standing."""
    return Judgment.objects.filter(
        queue=queue, purpose="label", assignment__isnull=False, withdrawn_at__isnull=True, review__isnull=True,
        supersedes__isnull=True, superseded_by__isnull=True, author_kind="human",
    ).exclude(author=reviewer)  # fmt: skip


def counts(*, queue: Queue, reviewer: User) -> dict[str, int]:
    """How many judgments wait, by reason."""
    rows = waiting(queue=queue, reviewer=reviewer)
    return {"flagged": rows.exclude(flags=[]).count(), "disputed": rows.filter(_disputed()).count()}


def next_one(*, queue: Queue, reviewer: User) -> Found | None:
    """What to look at next and why: flagged first, then disputed, then of the person least looked at this week."""
    rows = waiting(queue=queue, reviewer=reviewer).select_related("item__prompt", "queue", "assignment")
    flagged = rows.exclude(flags=[]).order_by("pk").first()
    if flagged is not None:
        return flagged, "flagged"
    disputed = rows.filter(_disputed()).order_by("item__position", "pk").first()
    if disputed is not None:
        return disputed, "disputed"
    return _sampled(queue, rows)


def _disputed() -> Exists:
    return Exists(Preference.objects.filter(SPLIT, item=OuterRef("item")))


def _sampled(queue: Queue, rows: QuerySet[Judgment]) -> Found | None:
    lately = Q(review__isnull=False, review__created_at__gte=timezone.now() - WEEK)
    people = (
        Judgment.objects.filter(queue=queue, author__in=rows.values("author")).values("author")
        .annotate(reviewed=Count("pk", filter=lately)).filter(reviewed__lt=SAMPLE).order_by("reviewed", "author")
    )  # fmt: skip
    for row in people:
        own = list(rows.filter(author=row["author"]).order_by("-pk")[:NEWEST])
        if own:
            return min(own, key=lambda judgment: judgment.pk.hex[::-1]), "sample"  # the last digits are random
    return None


def find(*, judgment_id: Any, reviewer: User) -> Judgment:
    """A judgment that this person may review; NotFound otherwise, so that ids tell nothing."""
    found = Judgment.objects.filter(pk=judgment_id).select_related("item__prompt", "queue", "assignment__seat").first()
    if found is None or not may_review(found.queue, reviewer):
        raise NotFound("There is no such judgment for you to review.")
    return found


def decide(
    *,
    judgment: Judgment,
    reviewer: User,
    outcome: str,
    note: str = "",
    body: dict[str, Any] | None = None,
    reason: str = "sample",
    duration_ms: int | None = None,
) -> Review:
    """Accept, correct (with `body`, as a judgment's) or reject (with a `note` that says why).

    Raises Conflict where somebody has reviewed or withdrawn it meanwhile; then nothing is stored.
    """
    if outcome not in Review.OUTCOMES:
        raise BadInput(f"outcome: expected one of {', '.join(Review.OUTCOMES)}.", where="outcome")
    if judgment.author_id == reviewer.pk:
        raise NotAllowed("Nobody reviews what they said themselves.")
    if outcome == "rejected" and not note.strip():
        raise BadInput("note: say why; the annotator reads it.", where="note")
    reason = reason if reason in ("disputed", "flagged") else "sample"
    try:
        with transaction.atomic():
            review = Review.objects.create(
                judgment=judgment, reviewer=reviewer, reason=reason, outcome=outcome, note=note.strip()[:5000],
                duration_ms=duration_ms,
            )  # fmt: skip
            _carry_out(judgment, reviewer, outcome, note, body)
            after = {"outcome": outcome, "note": note.strip()[:300], "reason": reason}
            events.record("judgment.reviewed", judgment, actor=reviewer, after=after)
    except IntegrityError:
        raise Conflict("Somebody has reviewed this judgment meanwhile.")
    return review


def _carry_out(judgment: Judgment, reviewer: User, outcome: str, note: str, body: dict[str, Any] | None) -> None:
    if not Judgment.objects.filter(pk=judgment.pk, withdrawn_at__isnull=True).exists():
        raise Conflict("This judgment was withdrawn meanwhile.")
    if outcome == "corrected":
        judging.correct(judgment=judgment, reviewer=reviewer, body=body or {})
    elif outcome == "rejected":
        rows = Judgment.objects.filter(pk=judgment.pk)
        judging.withdraw_rows(rows, reason=f"rejected in review: {note.strip()}", actor=reviewer)
        if judgment.assignment is not None:
            assigning.vacate(assignment=judgment.assignment)


def outcomes(*, annotator: User, limit: int = 50) -> list[Review]:
    """What reviewers said about this person's judgments, newest first; they count as seen from now on."""
    found = list(
        Review.objects.filter(judgment__author=annotator)
        .select_related("judgment__item__prompt", "judgment__queue").order_by("-created_at")[:limit]
    )  # fmt: skip
    Review.objects.filter(pk__in=[r.pk for r in found], seen_at__isnull=True).update(seen_at=timezone.now())
    return found


@transaction.atomic
def comment(*, item: Item, author: User, text: str) -> Comment:
    """A remark on an item, for those who look after the queue."""
    if not text.strip() or len(text) > 5000:
        raise BadInput("text: up to 5,000 characters, and not empty.", where="text")
    made = Comment.objects.create(item=item, author=author, text=text.strip())
    events.record("item.commented", item, actor=author, after={"text": text.strip()[:300]})
    return made


@transaction.atomic
def ask_again(*, queue: Queue, actor: User | None = None) -> int:
    """Free the seats whose answers were withdrawn, so that somebody else answers; returns how many."""
    standing = Judgment.objects.filter(assignment=OuterRef("pk"), withdrawn_at__isnull=True)
    empty = queue.assignments.filter(~Exists(standing), status="judged", seat__isnull=False)
    done = 0
    for assignment in empty.select_related("seat", "item").order_by("pk"):
        assigning.vacate(assignment=assignment)
        done += 1
    if done:
        events.record("queue.asked_again", queue, actor=actor, after={"seats": done})
    return done
