"""Open-Assistant's message trees, one a line: ranked replies to a prompter's turn become pairs, the better rank chosen.

Every two ranked replies of one turn make a pair; replies without a rank, deleted or not reviewed are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from .base import BadLine, ParsedPair, Source, pair, rows
from .options import Options

ROLES = {"prompter": "user", "assistant": "assistant"}
DEEPEST = 500


def read_oasst(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """Pairs of each tree, from the root down; a BadLine for a tree that cannot be read or holds no pair."""
    for found in rows(source):
        if isinstance(found, BadLine):
            yield found
            continue
        line, row = found
        root = row.get("prompt")
        if not isinstance(root, dict) or root.get("role") != "prompter":
            yield BadLine(line, "it is no message tree")
            continue
        some = False
        for one in _pairs(line, root):
            some = True
            yield one
        if not some:
            yield BadLine(line, "no two ranked replies in the tree")


def _pairs(line: int, root: dict[str, Any]) -> Iterator[ParsedPair | BadLine]:
    waiting: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [(root, [])]
    while waiting:
        node, before = waiting.pop(0)
        if len(before) > DEEPEST or node.get("role") not in ROLES:
            yield BadLine(line, "a turn is neither prompter's nor assistant's")
            continue
        thread = [*before, {"role": ROLES[node["role"]], "content": node.get("text")}]
        replies = [r for r in node.get("replies") or [] if isinstance(r, dict) and not r.get("deleted")]
        if node["role"] == "prompter":
            ranked = [r for r in replies if isinstance(r.get("rank"), int) and not isinstance(r["rank"], bool)]
            for one, other in combinations(sorted(ranked, key=lambda r: r["rank"]), 2):
                verdict = "tie" if one["rank"] == other["rank"] else "first"
                yield pair(line, thread, one.get("text"), other.get("text"), verdict)
        waiting += [(reply, thread) for reply in replies]
