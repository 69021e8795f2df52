"""What became of a verdict's votes afterwards: a decision is never silently changed, it is marked.

A vote that was withdrawn or corrected after the verdict stays in the stored figures. A mark beside them says what
happened and what the rule would have said without it; whether to roll back is for a person to decide.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from feedback import aggregation, events
from feedback.models import Judgment
from feedback.stats.sequential import decide

from . import ballots, gates
from .models import Decision

DECIDED = ("promoted", "refused")


def mark_changed() -> int:
    """Mark decisions whose votes have changed since they were made; returns how many marks were made."""
    changed = Judgment.objects.filter(queue__purpose="gate").filter(
        Q(withdrawn_at__isnull=False) | Q(superseded_by__isnull=False)
    )
    queues = set(changed.values_list("queue_id", flat=True))
    touched = Decision.objects.filter(Q(queue__in=queues) | Q(anchor_queue__in=queues), status__in=DECIDED)
    return sum(mark(decision=decision) for decision in touched)


def mark(*, decision: Decision) -> bool:
    """Add a mark if votes of this decision have changed since the last one. Returns whether it did."""
    with transaction.atomic():
        held = Decision.objects.select_for_update(of=("self",)).get(pk=decision.pk)
        found = _changed(held, held.figures.get("votes", []))
        second = _changed(held, held.figures.get("anchor", {}).get("votes", []))
        known = {name for mark in held.marks for name in mark["judgments"]}
        new = sorted({*found, *second} - known)
        if not new:
            return False
        held.marks = [*held.marks, _mark(held, new, found, second)]
        held.save(update_fields=["marks"])
        events.record("decision.marked", held, after={"judgments": new, "now": held.marks[-1]["decided"]})
        decision.marks = held.marks
    return True


def _changed(decision: Decision, votes: list[ballots.Vote]) -> dict[str, ballots.Vote]:
    """Judgment id -> what its vote is now, for the votes that no longer stand as they were read."""
    ids = [v["judgment"] for v in votes if v["judgment"]]
    standing = {
        str(pk) for pk in Judgment.objects.filter(aggregation.standing(), pk__in=ids).values_list("pk", flat=True)
    }
    corrected = {str(j.supersedes_id): j for j in Judgment.objects.filter(aggregation.standing(), supersedes__in=ids)}
    changed = {}
    for vote in votes:
        name = vote["judgment"]
        if name and name not in standing:
            x, why = ballots.value(corrected[name]) if name in corrected else (0.5, "withdrawn")
            changed[name] = {**vote, "x": x, "why": why}
    return changed


def _mark(
    decision: Decision, new: list[str], found: dict[str, ballots.Vote], second: dict[str, ballots.Vote]
) -> dict[str, Any]:
    """The verdict again with the votes as they stand now; a withdrawn one is half a vote, as in an open ballot."""
    again = _again(decision, decision.figures["votes"], found)
    anchor = decision.figures.get("anchor")
    return {
        "at": timezone.now().isoformat(timespec="seconds"),
        "judgments": new,
        **again,
        "anchor": _again(decision, anchor["votes"], second) if anchor else None,
    }


def _again(decision: Decision, votes: list[ballots.Vote], changed: dict[str, ballots.Vote]) -> dict[str, Any]:
    xs = [changed.get(v["judgment"] or "", v)["x"] for v in votes]
    test = decide(gates.parse_rule(decision.rule), xs)
    return {
        "n": test.n,
        "score": test.score,
        "low": round(test.low, 4),
        "high": round(test.high, 4),
        "decided": test.decided or "open",
    }
