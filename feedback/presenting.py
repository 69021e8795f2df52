"""What an annotator may see of an item. The one place that decides it: no policy, no author, no other's answer."""

from __future__ import annotations

from typing import Any

from .kinds import SLOTS
from .models import Assignment, Queue
from .rubrics import parse


def payload(assignment: Assignment) -> dict[str, Any]:
    """The blind view of a lease, responses in the order drawn for this person."""
    item, queue = assignment.item, assignment.queue
    responses = item.ordered_responses()
    return {
        "assignment": str(assignment.pk),
        "expires_at": assignment.expires_at.isoformat(),
        "item": {
            "id": str(item.key),
            "kind": queue.kind,
            "prompt": {"messages": item.prompt.messages},
            "responses": [
                {"slot": SLOTS[n], "content": responses[position].content}
                for n, position in enumerate(assignment.order)
            ],
            **({"attributes": _attributes(queue)} if queue.kind == "rating" else {}),
        },
    }


def _attributes(queue: Queue) -> list[dict[str, Any]]:
    """What a rating asks for, so that a program can answer too."""
    return [
        {"name": a.name, "title": str(a.title), "points": a.points, "low": str(a.low), "high": str(a.high)}
        for a in parse(queue.rubric).attributes
    ]
