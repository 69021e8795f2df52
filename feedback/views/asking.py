"""One item as the templates need it: the blind payload, the buttons, and what was said before an undo."""

from __future__ import annotations

import json
import uuid
from typing import Any

from .. import keys
from ..kinds import SLOTS, kind_of
from ..models import Assignment, Judgment
from ..presenting import payload
from ..rubrics import Rubric, parse


def shown(lease: Assignment) -> dict[str, Any]:
    before = Judgment.objects.filter(assignment=lease, withdrawn_reason="undone").order_by("-created_at").first()
    kind, rubric, blind = lease.queue.kind, parse(lease.queue.rubric), payload(lease)
    extra: dict[str, Any] = {}
    if kind == "rating":
        extra["scales"] = _scales(lease, rubric, before)
    if kind == "ranking":
        extra["ranked"] = _ranked(blind["item"]["responses"], lease.order, before)
        extra["places"] = range(1, len(lease.order) + 1)
    return {
        **blind,
        **extra,
        "queue": lease.queue,
        "kind": kind_of(kind),
        "rubric": rubric,
        "choices": keys.choices(kind),
        "keys": keys.by_action(kind),
        "key": uuid.uuid4(),
        "previous": before,
        "previous_choice": before and _chosen(before),
        "previous_content": before.wrote.content if before and before.wrote else None,
        "previous_spans": json.dumps(_spans(before, lease.order)) if before and before.spans else "",
    }


def _chosen(before: Judgment) -> Any:
    return before.evidence.get("slot", before.answer.get("choice", before.answer.get("thumb")))


def _spans(before: Judgment, order: list[int]) -> list[dict[str, Any]]:
    return [
        {"slot": SLOTS[order.index(span["response"])], "quote": span["quote"], "mark": span["mark"]}
        for span in before.spans
    ]


def _scales(lease: Assignment, rubric: Rubric, before: Judgment | None) -> list[dict[str, Any]]:
    """A row for each answer and attribute, with what was given before."""
    several = len(lease.order) > 1
    given = before.answer["ratings"] if before else None
    return [
        {
            "slot": SLOTS[n],
            "slot_words": SLOTS[n] if several else "",
            "attribute": attribute,
            "before": given[position].get(attribute.name) if given else None,
        }
        for n, position in enumerate(lease.order)
        for attribute in rubric.attributes
    ]


def _ranked(responses: list[dict[str, Any]], order: list[int], before: Judgment | None) -> list[dict[str, Any]]:
    """The answers as shown, each with its rank: as given before, else as they stand."""
    given = before.answer.get("ranking") if before else None
    ranks = {position: n for n, rank in enumerate(given or [], start=1) for position in rank}
    rows = []
    for n, (response, position) in enumerate(zip(responses, order, strict=True), start=1):
        presses = keys.presses("ranking", f"place_{response['slot']}")
        rows.append({**response, "rank": ranks.get(position, n), "keys": presses, "key": presses.split()[0]})
    return rows
