"""Text from outside, checked once, and the content keys made from it.

PostgreSQL refuses NUL in text, UTF-8 cannot encode lone surrogates, and JSON columns hold no NaN:
each is refused at the door, by its path in the document, instead of failing somewhere inside.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

ROLES = ("system", "user", "assistant")
DEEPEST = 64
SURROGATE = re.compile("[\ud800-\udfff]")


class BadText(ValueError):
    """What is wrong (`reason`) and where in the document (`path`, such as `[3].messages[0].content`)."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def clean(value: Any, path: str = "", depth: int = 0) -> Any:
    """The JSON value as it came. BadText for NUL, lone surrogates, NaN, or nesting beyond 64 levels."""
    if depth > DEEPEST:
        raise BadText(path, f"nested more than {DEEPEST} levels deep")
    if isinstance(value, str):
        _check_string(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadText(path, "not a finite number")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_string(str(key), f"{path}.(key)" if path else "(key)")
            clean(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            clean(inner, f"{path}[{i}]", depth + 1)
    return value


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: one byte string a value. ValueError for NaN, TypeError for no JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def content_key(*parts: Any) -> str:
    """sha256, in hex, of the canonical JSON of the parts: a public id that is the same everywhere."""
    return hashlib.sha256(canonical_json(list(parts))).hexdigest()


def check_messages(messages: Any, path: str = "messages") -> list[dict[str, str]]:
    """The conversation as [{"role", "content"}], other keys left out.

    Raises BadText unless it is system? then user/assistant turns of plain text, the last one a user's.
    """
    if not isinstance(messages, list) or not messages:
        raise BadText(path, "expected a list of messages, at least one")
    turns = [_check_turn(turn, f"{path}[{i}]", first=i == 0) for i, turn in enumerate(messages)]
    if turns[-1]["role"] != "user":
        raise BadText(f"{path}[{len(turns) - 1}].role", "a prompt ends with a user turn")
    return turns


def _check_turn(turn: Any, path: str, first: bool) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise BadText(path, "expected an object with role and content")
    role, content = turn.get("role"), turn.get("content")
    if role in ("tool", "function") or turn.get("tool_calls") or turn.get("function_call"):
        raise BadText(path, "tool calls are not supported")
    if role not in ROLES:
        raise BadText(f"{path}.role", f"{role!r} is none of {', '.join(ROLES)}")
    if role == "system" and not first:
        raise BadText(f"{path}.role", "a system message comes first or not at all")
    if isinstance(content, list | dict):
        raise BadText(f"{path}.content", "multimodal content is not supported, only a string")
    if not isinstance(content, str):
        raise BadText(f"{path}.content", "expected a string")
    if not content.strip():
        raise BadText(f"{path}.content", "empty")
    _check_string(content, f"{path}.content")
    return {"role": role, "content": content}


def _check_string(text: str, path: str) -> None:
    if "\x00" in text:
        raise BadText(path, "contains a NUL character")
    if SURROGATE.search(text):
        raise BadText(path, "contains half of a surrogate pair, which is not text")
