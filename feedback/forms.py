"""What the annotating form sends, in the words of the verbs. Their checks are not repeated here."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from django.http import QueryDict

from .errors import BadInput
from .kinds import Kind

INPUTS = ("key", "mouse", "touch", "pen")


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
    given = post.get("input", "")
    return Said(body, {"input": given if given in INPUTS else "form"}, post.get("key", ""))


def assignment_id(post: QueryDict) -> uuid.UUID:
    try:
        return uuid.UUID(post.get("assignment", ""))
    except ValueError:
        raise BadInput("assignment: expected the id of an assignment.", where="assignment")
