"""What every kind of queue answers about itself. A kind is one class here, one template, one form."""

from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar, NamedTuple

from django.http import QueryDict

from ..errors import BadInput
from ..rubrics import Rubric, Words

SLOTS = "ABCDEFGHI"
Answer = dict[str, Any]


class Pair(NamedTuple):
    """One comparison implied, over positions a < b: `outcome` a, b, tie or both_bad.

    A position beyond the item's responses is the response that the judgment wrote (an edit).
    """

    a: int
    b: int
    outcome: str
    weight: float = 1.0


class Choice(NamedTuple):
    """A button that answers the question at once. `action` names it in the table of keys."""

    action: str
    value: str
    words: Words
    style: str = ""


class Kind:
    """Subclasses say what a valid answer is, which pairs it implies, and how it is told and asked."""

    slug: ClassVar[str]
    title: ClassVar[Words]
    question: ClassVar[Words]
    fewest: ClassVar[int] = 1  # responses of an item
    most: ClassVar[int] = 1
    choices: ClassVar[tuple[Choice, ...]] = ()
    writes: ClassVar[bool] = False  # an answer of this kind brings a new response along
    can_be_known: ClassVar[bool] = True  # whether gold items and examples may have a right answer

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        """The stored answer, by position of the responses; `order` is what was shown. Raises BadInput."""
        raise NotImplementedError

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        """The comparisons implied over positions 0..count-1, each with a < b."""
        raise NotImplementedError

    def said(self, post: QueryDict) -> dict[str, Any]:
        """The body of a judgment out of this kind's form."""
        raise NotImplementedError

    def words(self, answer: Answer, order: list[int]) -> Words:
        """The answer in words, by the sides that the person saw."""
        raise NotImplementedError

    def agrees(self, one: Answer, other: Answer) -> bool:
        """Whether two answers to the same item say the same."""
        return one == other

    def by_key(self, answer: Answer, keys: list[str]) -> Answer:
        """The answer with responses named by key instead of by position, for files that leave the house."""
        return answer

    @property
    def template(self) -> str:
        return f"feedback/kinds/{self.slug}.html"


def slot_of(position: int, order: list[int]) -> str:
    """The letter under which a response was shown; "?" where that was not recorded."""
    return SLOTS[order.index(position)] if position in order else "?"


def by_score(scores: list[float]) -> list[Pair]:
    """Every pair of k scored responses, the higher one better, each of weight 1/(k-1)."""
    weight = 1 / (len(scores) - 1) if len(scores) > 1 else 1.0
    found = []
    for a, b in combinations(range(len(scores)), 2):
        outcome = "tie" if scores[a] == scores[b] else "a" if scores[a] > scores[b] else "b"
        found.append(Pair(a, b, outcome, weight))
    return found


def slots_shown(order: list[int]) -> str:
    return SLOTS[: len(order)]


def bad(where: str, expected: str) -> BadInput:
    return BadInput(f"{where}: expected {expected}.", where=where)
