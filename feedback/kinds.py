"""Kinds of queue: what a valid answer is, and which pairs it implies. A kind is one class."""

from __future__ import annotations

from typing import Any, Protocol

from .errors import BadInput, Conflict

SLOTS = "ABCDEFGHI"
Pair = tuple[int, int, str]  # (position of a, position of b, outcome)


class Kind(Protocol):
    slug: str

    def answer(self, body: dict[str, Any], order: list[int]) -> dict[str, Any]:
        """The stored answer, by position of the responses; `order` is what was shown. Raises BadInput."""

    def pairs(self, answer: dict[str, Any], count: int) -> list[Pair]:
        """The comparisons implied, over positions 0..count-1, each with a < b."""


class Comparison:
    """Two answers: which is better, or a tie, or both bad."""

    slug = "comparison"
    keys = {"A": "1", "B": "2", "tie": "0", "both_bad": "9"}

    def answer(self, body: dict[str, Any], order: list[int]) -> dict[str, Any]:
        choice = body.get("choice")
        if not isinstance(choice, str) or choice not in self.keys:
            raise BadInput("choice: expected A, B, tie or both_bad.", where="choice")
        return {"choice": order[SLOTS.index(choice)] if choice in SLOTS else choice}

    def pairs(self, answer: dict[str, Any], count: int) -> list[Pair]:
        choice = answer["choice"]
        outcome = choice if choice in ("tie", "both_bad") else "ab"[choice]
        return [(0, 1, outcome)]


KINDS: dict[str, Kind] = {kind.slug: kind for kind in (Comparison(),)}


def kind_of(slug: str) -> Kind:
    if slug not in KINDS:
        raise Conflict(f"Queues of kind {slug} cannot be worked on in this version.")
    return KINDS[slug]
