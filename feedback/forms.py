"""What the annotating form sends, in the words of the verbs. Their checks are not repeated here."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

from django.http import QueryDict

from .errors import BadInput
from .kinds import Kind

INPUTS = ("key", "mouse", "touch", "pen")
# Milliseconds of activity and of typing, and how often things happened while the item was on the screen.
COUNTED = ("active_ms", "typing_ms", "pastes", "pasted_characters", "diff_opened", "guidelines_opened")


class Said(NamedTuple):
    """A submission: the judgment's body, how it was given, and the key that makes a repeat harmless."""

    body: dict[str, Any]
    evidence: dict[str, Any]
    key: str


def said(post: QueryDict, kind: Kind) -> Said:
    body = kind.said(post)
    if rationale := post.get("rationale", "").replace("\r\n", "\n").strip():
        body["rationale"] = rationale
    if (duration := post.get("duration_ms", "")).isdecimal():
        body["duration_ms"] = min(int(duration), 2**31 - 1)
    if flags := post.getlist("flags"):
        body["flags"] = flags
    if spans := post.get("spans"):
        body["spans"] = _json(spans, "spans")
    return Said(body, _evidence(post), post.get("key", ""))


def _evidence(post: QueryDict) -> dict[str, Any]:
    """How the answer came about, as far as the page saw it."""
    given = post.get("input", "")
    told = {name: post.get(name, "") for name in COUNTED}
    counted = {name: int(count) for name, count in told.items() if count.isdecimal() and len(count) < 10}
    return {"input": given if given in INPUTS else "form", **counted}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(f"{where}: expected JSON.", where=where)


def assignment_id(post: QueryDict) -> uuid.UUID:
    try:
        return uuid.UUID(post.get("assignment", ""))
    except ValueError:
        raise BadInput("assignment: expected the id of an assignment.", where="assignment")
