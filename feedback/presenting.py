"""What an annotator may see of an item. The one place that decides it: no policy, no author, no other's answer."""

from __future__ import annotations

from typing import Any

from .kinds import SLOTS
from .models import Assignment


def payload(assignment: Assignment) -> dict[str, Any]:
    """The blind view of a lease, responses in the order drawn for this person."""
    item = assignment.item
    responses = item.ordered_responses()
    return {
        "assignment": str(assignment.pk),
        "expires_at": assignment.expires_at.isoformat(),
        "item": {
            "id": str(item.key),
            "kind": assignment.queue.kind,
            "prompt": {"messages": item.prompt.messages},
            "responses": [
                {"slot": SLOTS[n], "content": responses[position].content}
                for n, position in enumerate(assignment.order)
            ],
        },
    }
