"""Figures of a queue, from rows as they stand. What is undefined is null with a reason, never 0."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncHour
from django.utils import timezone

from . import gold
from .errors import NotAllowed
from .models import Assignment, Item, Judgment, Membership, Queue, User
from .stats import agreement as agreeing
from .stats.estimates import wilson
from .stats.positions import left_picks

PACE_WINDOW = timedelta(hours=24)
TOO_HARD = "harmful"  # a reason to pass an item on that never counts against anybody
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
        "agreement": current_window(queue, rows),
        "judges": judges(queue),
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
    marks = gold_marks(rows)
    return estimate(sum(marks), len(marks))


def gold_marks(rows: QuerySet[Judgment]) -> list[bool]:
    """Right or wrong on each gold item, in the order answered."""
    known = rows.filter(item__gold__isnull=False, item__status="open").exclude(purpose="practice")
    marks = known.order_by("created_at").values_list("item__gold", "answer", "queue__kind")
    return [gold.is_right(kind, answer or {}, given) for answer, given, kind in marks]


def agreement(rows: QuerySet[Judgment]) -> dict[str, Any]:
    """Krippendorff's alpha and raw agreement over the `n` items that two or more people judged."""
    return told(_units(rows).values())


def _units(rows: QuerySet[Judgment]) -> dict[int, list[str]]:
    """The answers to each item, gold and repeats left out."""
    by_item: dict[int, list[str]] = defaultdict(list)
    for item, answer in rows.filter(item__gold__isnull=True, purpose="label").values_list("item_id", "answer"):
        by_item[item].append(answer_words(answer))
    return by_item


def told(answers: Iterable[list[str]]) -> dict[str, Any]:
    """Agreement over items, as pages and the API tell it."""
    units = [votes for votes in answers if len(votes) > 1]
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


def answer_words(answer: dict[str, Any]) -> str:
    """A stored answer as a word: two people agree where the words are the same."""
    for name in ("choice", "thumb"):
        if name in answer:
            return str(answer[name])
    return json.dumps(answer, sort_keys=True)


def current_window(queue: Queue, rows: QuerySet[Judgment]) -> dict[str, Any]:
    """Agreement under the guidelines as they are now; before anything was judged twice under them, under the last
    version that has figures. `version` says which."""
    found = agreement(rows.filter(guidelines_version=queue.guidelines_version))
    version = queue.guidelines_version
    while found["n"] == 0 and version > 1:
        version -= 1
        found = agreement(rows.filter(guidelines_version=version))
    return {**found, "version": version}


# --- broken down ---------------------------------------------------------------------------------------
BREAKDOWNS = ("version", "week", "person", "language", "strength")


def breakdown(*, queue: Queue, by: str, kind: str = "human") -> list[tuple[str, dict[str, Any]]]:
    """Agreement by guidelines version, week, person (with everybody else), language of the item, or strength.

    An item belongs to the week of its last judgment and to the greatest strength given to it.
    """
    rows = _counted(queue).filter(author_kind=kind, item__gold__isnull=True, purpose="label")
    if by == "person":
        return _by_person(rows)
    column = {"version": "guidelines_version", "week": "created_at", "language": "item__language"}.get(by, "strength")
    answers: dict[int, list[str]] = defaultdict(list)
    group: dict[int, str] = {}
    for item, answer, value in rows.order_by(column, "pk").values_list("item_id", "answer", column):
        answers[item].append(answer_words(answer))
        group[item] = _group(by, value)
    found: dict[str, list[list[str]]] = defaultdict(list)
    for item, votes in answers.items():
        found[group[item]].append(votes)
    return [(name, told(found[name])) for name in sorted(found)]


def _group(by: str, value: Any) -> str:
    if by == "week":
        year, week, _ = value.isocalendar()
        return f"{year}-W{week:02d}"
    return "not given" if value in (None, "") else str(value)


def _by_person(rows: QuerySet[Judgment]) -> list[tuple[str, dict[str, Any]]]:
    """Each person against everybody else: one unit for each other answer to an item of theirs."""
    by_item: dict[int, list[tuple[str, str]]] = defaultdict(list)
    names = rows.values_list("item_id", "answer", "author__username", "annotator")
    for item, answer, author, imported in names:
        by_item[item].append((author or imported, answer_words(answer)))
    units: dict[str, list[list[str]]] = defaultdict(list)
    for said in by_item.values():
        for n, (person, own) in enumerate(said):
            units[person] += [[own, other] for m, (_, other) in enumerate(said) if m != n]
    return [(name, told(units[name])) for name in sorted(units)]


def judges(queue: Queue) -> list[dict[str, Any]]:
    """Each model judge against the people: agreement on the items that both judged."""
    said: dict[int, list[str]] = _units(_counted(queue).filter(author_kind="human"))
    found: dict[str, list[list[str]]] = defaultdict(list)
    opinions = _counted(queue).filter(author_kind="model", author__isnull=False)
    for item, answer, name in opinions.values_list("item_id", "answer", "author__username"):
        found[name] += [[answer_words(answer), human] for human in said.get(item, [])]
    return [{"username": name, **told(units)} for name, units in sorted(found.items())]


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def annotators(queue: Queue) -> list[dict[str, Any]]:
    """A row for each member who judged or skipped, busiest first."""
    rows = _counted(queue).filter(author__isnull=False)
    durations: dict[int, list[int]] = defaultdict(list)
    for author, ms in rows.values_list("author_id", "duration_ms"):
        if author is not None and ms is not None:
            durations[author].append(ms)
    passed = Assignment.objects.filter(queue=queue, status="skipped").exclude(skip_reason=TOO_HARD)
    skips = dict(passed.values_list("annotator_id").annotate(n=Count("pk")))
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
