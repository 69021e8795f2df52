"""Figures of the people of a queue. They are compared only with intervals, and only within their kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from django.db.models import Count, QuerySet

from . import pausing, quality
from .models import Assignment, Judgment, Membership, Queue
from .stats import honesty
from .stats.consensus import fit_consensus

TOO_FAST_SHARE = 0.2  # of the queue's median time
TOO_FAST_MS = 1000  # nobody reads two answers in a second
RECENT = 30  # judgments that drift compares with all before


def figures(*, queue: Queue, kind: str = "human") -> list[dict[str, Any]]:
    """A row for each member of this kind, by name: gold, agreement of one's own repeats, reliability from overlap,
    speed, left picks, skips, flags, drift, and what the pausing test has seen. Shares come with intervals and n."""
    rows = Judgment.objects.filter(queue=queue, author__isnull=False, withdrawn_at__isnull=True, author_kind=kind)
    asked = _asked(queue)
    reliable = reliability(queue=queue, kind=kind)
    speeds = _durations(rows)
    usual = median([ms for own in speeds.values() for ms in own]) if any(speeds.values()) else None
    members = Membership.objects.filter(queue=queue, kind=kind).select_related("user").order_by("user__username")
    return [
        {
            **_person(m, rows.filter(author=m.user_id), asked.get(m.user_id, {}), speeds[m.user_id], usual),
            "reliability": reliable.get(m.user_id),
        }
        for m in members
    ]


def _asked(queue: Queue) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for person, status, n in (
        Assignment.objects.filter(queue=queue)
        .exclude(status="skipped", skip_reason=quality.TOO_HARD)
        .values_list("annotator", "status")
        .annotate(n=Count("pk"))
    ):
        found[person][status] = n
    return found


def _durations(rows: QuerySet[Judgment]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for person, ms in rows.exclude(duration_ms=None).values_list("author_id", "duration_ms"):
        if person is not None and ms is not None:
            found[person].append(ms)
    return found


def _person(
    member: Membership, own: QuerySet[Judgment], asked: dict[str, int], speeds: Sequence[int], usual: float | None
) -> dict[str, Any]:
    judged, skipped = own.count(), asked.get("skipped", 0)
    same = pausing.repeats(member)
    known = pausing.signs(member)
    found = honesty.test(known)
    return {
        "member": member,
        "username": member.user.username,
        "judgments": judged,
        "gold": quality.gold_accuracy(own),
        "consistency": quality.estimate(sum(same), len(same)),
        "median_seconds": round(median(speeds) / 1000, 1) if speeds else None,
        "too_fast": quality.estimate(sum(ms < _limit(usual) for ms in speeds), len(speeds)),
        "left": quality.left_pick_rate(own),
        "skips": quality.estimate(skipped, judged + skipped),
        "flags": quality.estimate(own.exclude(flags=[]).count(), judged),
        "drift": drift(own),
        "evidence": round(found.evidence, 2) if known else None,
        "checks": found.n,
    }


def _limit(usual: float | None) -> float:
    return max(TOO_FAST_MS, TOO_FAST_SHARE * (usual or 0))


def drift(own: QuerySet[Judgment]) -> dict[str, Any] | None:
    """Gold answers lately against before: the difference of shares with an interval; None with too few."""
    known = quality.gold_marks(own)
    if len(known) < 2 * 6:
        return None
    late = min(RECENT, len(known) // 2)
    before, after = known[:-late], known[-late:]
    p, q = float(np.mean(before)), float(np.mean(after))
    # Agresti and Caffo's interval: two successes and two failures more
    ps, qs = (sum(before) + 1) / (len(before) + 2), (sum(after) + 1) / (len(after) + 2)
    half = 1.96 * (ps * (1 - ps) / (len(before) + 2) + qs * (1 - qs) / (len(after) + 2)) ** 0.5
    return {"value": round(q - p, 3), "low": round(qs - ps - half, 3), "high": round(qs - ps + half, 3), "n": late}


def reliability(*, queue: Queue, kind: str = "human") -> dict[int, dict[str, Any]]:
    """By person: the share of right answers told from overlap alone, with its interval, the left habit, and n.

    Comparisons with a side chosen, of items that two people or more judged. "Differs from the consensus" is
    information: it pauses nobody.
    """
    rows = Judgment.objects.filter(
        queue=queue, purpose="label", withdrawn_at__isnull=True, author__isnull=False, author_kind=kind,
        item__gold__isnull=True, assignment__isnull=False,
    )  # fmt: skip
    votes = [
        (item, person, answer["choice"], order)
        for item, person, answer, order in rows.values_list("item", "author", "answer", "assignment__order")
        if answer.get("choice") in (0, 1)
    ]
    often: dict[int, int] = defaultdict(int)
    for vote in votes:
        often[vote[0]] += 1
    votes = [vote for vote in votes if often[vote[0]] > 1]
    if not votes:
        return {}
    items = {item: n for n, item in enumerate(dict.fromkeys(v[0] for v in votes))}
    people = {person: n for n, person in enumerate(sorted({v[1] for v in votes}))}
    found = fit_consensus(
        [items[v[0]] for v in votes], [people[v[1]] for v in votes], [1 - v[2] for v in votes],
        [1 if v[3][0] == 0 else -1 for v in votes],
    )  # fmt: skip
    return {
        person: {
            "value": round(float(found.accuracy[n]), 3), "low": round(float(found.low[n]), 3),
            "high": round(float(found.high[n]), 3), "n": int(found.n[n]), "habit": round(float(found.habit[n]), 2),
        }
        for person, n in people.items()
    }  # fmt: skip
