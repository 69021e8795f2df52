"""Figures of a queue, from rows as they stand. What is undefined is null with a reason, never 0."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncHour
from django.utils import timezone

from .errors import NotAllowed
from .kinds import SLOTS
from .models import Assignment, Item, Judgment, Membership, Queue, User
from .stats import agreement as agreeing
from .stats.estimates import wilson
from .stats.positions import left_picks

PACE_WINDOW = timedelta(hours=24)
RESAMPLED = 5_000_000  # rows drawn at most for an interval, so that a large queue's page stays quick


def figures_for(*, queue: Queue, user: User) -> dict[str, Any]:
    """The queue's figures as this person may see them: rows by person are for its managers and admins.

    Raises NotAllowed for members who only annotate or review.
    """
    manages = user.is_admin or Membership.objects.filter(queue=queue, user=user, role="manager").exists()
    if not manages and not user.is_engineer:
        raise NotAllowed("A queue's figures are for its managers, engineers and admins.")
    figures = queue_stats(queue)
    if not manages:
        del figures["annotators"]
    return figures


def queue_stats(queue: Queue) -> dict[str, Any]:
    """Items by state, judgments, pace, agreement, left-pick rate, gold accuracy, and a row for each annotator.

    People, simulated people and model judges never mix: `about` names the kind that the figures describe
    (people where there are any judgments of theirs).
    """
    kinds = dict(_counted(queue).values_list("author_kind").annotate(n=Count("pk")))
    about = next((kind for kind in Judgment.KINDS if kinds.get(kind)), "human")
    rows = _counted(queue).filter(author_kind=about)
    return {
        "queue": queue.slug,
        "items": dict(Item.objects.filter(queue=queue).values_list("status").annotate(n=Count("pk"))),
        "judgments": sum(kinds.values()),
        "judgments_by_kind": kinds,
        "about": about,
        "judgments_per_hour": per_hour(rows),
        "agreement": agreement(rows),
        "left_pick_rate": left_pick_rate(rows),
        "gold_accuracy": gold_accuracy(rows),
        "annotators": annotators(queue),
    }


def _counted(queue: Queue) -> QuerySet[Judgment]:
    """The queue's judgments that stand: not withdrawn, not corrected."""
    corrected = Q(superseded_by__isnull=False, superseded_by__withdrawn_at__isnull=True)
    return Judgment.objects.filter(~corrected, queue=queue, withdrawn_at__isnull=True)


def per_hour(rows: QuerySet[Judgment]) -> float | None:
    """Judgments of the last 24 hours by the clock hours in which any was made; None without any."""
    recent = rows.filter(created_at__gte=timezone.now() - PACE_WINDOW, assignment__isnull=False)
    hours = recent.annotate(hour=TruncHour("created_at")).values("hour").annotate(n=Count("pk"))
    counts = [row["n"] for row in hours.values("hour", "n")]
    return round(sum(counts) / len(counts), 2) if counts else None


def estimate(successes: float, n: int) -> dict[str, Any]:
    """A share with its Wilson interval at 95%; nulls where there is nothing to divide by."""
    if n == 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = wilson(successes, n)
    return {"value": round(successes / n, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def left_pick_rate(rows: QuerySet[Judgment]) -> dict[str, Any]:
    """Of the judgments that picked a side of a pair, the share that picked the one shown first; p against 1/2."""
    picked = dict(rows.filter(evidence__slot__in=["A", "B"]).values_list("evidence__slot").annotate(n=Count("pk")))
    left, right = picked.get("A", 0), picked.get("B", 0)
    p = left_picks(left, right).p
    return {**estimate(left, left + right), "p": None if p is None else round(p, 6)}


def gold_accuracy(rows: QuerySet[Judgment]) -> dict[str, Any]:
    """The share of judgments on gold items that gave the known answer."""
    known = rows.filter(item__gold__isnull=False).values_list("item__gold__choice", "answer__choice")
    right = [_position(gold) == given for gold, given in known]
    return estimate(sum(right), len(right))


def _position(choice: str) -> Any:
    """A gold choice ("B") as answers are stored: by position, or the word itself."""
    return SLOTS.index(choice) if choice in SLOTS else choice


def agreement(rows: QuerySet[Judgment]) -> dict[str, Any]:
    """Krippendorff's alpha and raw agreement over the `n` items that two or more people judged."""
    by_item: dict[int, list[str]] = defaultdict(list)
    for item, choice in rows.filter(item__gold__isnull=True).values_list("item_id", "answer__choice"):
        by_item[item].append(str(choice))
    units = [votes for votes in by_item.values() if len(votes) > 1]
    found = agreeing.agreement(units, draws=max(50, min(1000, RESAMPLED // max(len(units), 1))))
    raw = found.raw
    return {
        "alpha": rounded(found.alpha),
        "alpha_low": rounded(found.alpha_low),
        "alpha_high": rounded(found.alpha_high),
        "raw": rounded(raw.value) if raw else None,
        "raw_low": rounded(raw.low) if raw else None,
        "raw_high": rounded(raw.high) if raw else None,
        "n": found.n,
        "reason": found.reason,
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def annotators(queue: Queue) -> list[dict[str, Any]]:
    """A row for each member who judged or skipped, busiest first."""
    rows = _counted(queue).filter(author__isnull=False)
    durations: dict[int, list[int]] = defaultdict(list)
    for author, ms in rows.values_list("author_id", "duration_ms"):
        if author is not None and ms is not None:
            durations[author].append(ms)
    skips = dict(
        Assignment.objects.filter(queue=queue, status="skipped").values_list("annotator_id").annotate(n=Count("pk"))
    )
    done = dict(rows.values_list("author_id").annotate(n=Count("pk")))
    members = Membership.objects.filter(queue=queue, user__in=set(done) | set(skips)).select_related("user")
    found = [
        _annotator(rows, m, done.get(m.user_id, 0), skips.get(m.user_id, 0), durations[m.user_id]) for m in members
    ]
    return sorted(found, key=lambda row: (-row["judgments"], row["username"]))


def _annotator(
    rows: QuerySet[Judgment], member: Membership, done: int, skips: int, durations: list[int]
) -> dict[str, Any]:
    own = rows.filter(author=member.user_id)
    return {
        "username": member.user.username,
        "kind": member.kind,
        "judgments": done,
        "skipped": skips,
        "median_seconds": round(median(durations) / 1000, 1) if durations else None,
        "left_pick_rate": left_pick_rate(own),
        "gold_accuracy": gold_accuracy(own),
    }
