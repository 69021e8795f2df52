"""Marks on passages of an answer ("this sentence is made up"): quoted, so that they outlive any rendering."""

from __future__ import annotations

import html
import re
from typing import Any

import nh3

from .errors import BadInput
from .kinds import SLOTS
from .models import Assignment
from .rendering import render_markdown
from .rubrics import Rubric

MOST, LONGEST = 50, 5000


def parse(rows: Any, assignment: Assignment, rubric: Rubric) -> list[dict[str, Any]]:
    """Marks as stored: [{"response": position, "quote", "start": offset in its text or null, "mark"}].

    Takes [{"slot", "quote", "mark"}]; the quote is a passage of that answer, as written or as shown.
    Raises BadInput naming the index.
    """
    if rows is None:
        return []
    if not isinstance(rows, list) or len(rows) > MOST:
        raise BadInput(f"spans: expected a list of at most {MOST}.", where="spans")
    return [_span(row, f"spans[{n}]", assignment, rubric) for n, row in enumerate(rows)]


def _span(row: Any, where: str, assignment: Assignment, rubric: Rubric) -> dict[str, Any]:
    slots, marks = SLOTS[: len(assignment.order)], [mark.name for mark in rubric.marks]
    slot, quote, mark = (row.get(n) if isinstance(row, dict) else None for n in ("slot", "quote", "mark"))
    if not isinstance(slot, str) or len(slot) != 1 or slot not in slots:
        raise BadInput(f"{where}.slot: expected one of {', '.join(slots)}.", where=f"{where}.slot")
    if mark not in marks:
        raise BadInput(f"{where}.mark: expected one of {', '.join(marks)}.", where=f"{where}.mark")
    position = assignment.order[SLOTS.index(slot)]
    content = assignment.item.ordered_responses()[position].content
    if not isinstance(quote, str) or not 0 < len(quote.strip()) <= LONGEST or not _holds(content, quote):
        raise BadInput(f"{where}.quote: expected a passage of answer {slot}.", where=f"{where}.quote")
    start = content.find(quote)
    return {"response": position, "quote": quote, "start": None if start < 0 else start, "mark": mark}


def _holds(content: str, quote: str) -> bool:
    wanted = _even(quote)
    return wanted in _even(content) or wanted in _even(shown_text(content))


def shown_text(content: str) -> str:
    """The words of an answer as the page shows them, without markup."""
    return html.unescape(nh3.clean(str(render_markdown(content)), tags=set()))


def _even(text: str) -> str:
    return re.sub(r"\s+", "", text)
