"""Kinds of queue: what a valid answer is, and which pairs it implies. A kind is one class, one template, one form."""

from __future__ import annotations

from typing import Any

from .. import rubrics
from ..errors import BadInput, Conflict
from .base import SLOTS, Answer, Choice, Kind, Pair
from .comparison import Comparison
from .edit import Edit
from .ranking import Ranking
from .rating import Rating
from .thumbs import Thumbs

__all__ = ["KINDS", "SLOTS", "Answer", "Choice", "Kind", "Pair", "check_rubric", "kind_of"]

KINDS: dict[str, Kind] = {kind.slug: kind for kind in (Comparison(), Ranking(), Rating(), Thumbs(), Edit())}


def kind_of(slug: str) -> Kind:
    if slug not in KINDS:
        raise Conflict(f"There is no kind of queue {slug}.")
    return KINDS[slug]


def check_rubric(slug: str, data: Any) -> None:
    """Raises BadInput where a queue's rubric is malformed, or an example's answer is none of its kind."""
    rubric, kind = rubrics.parse(data), kind_of(slug)
    for n, example in enumerate(rubric.examples):
        where, count = f"rubric.examples[{n}]", len(example.responses)
        if not kind.fewest <= count <= kind.most:
            raise BadInput(f"{where}.responses: too many or too few for {kind.title}.", where=f"{where}.responses")
        try:
            kind.answer(example.answer, list(range(count)), rubric)
        except BadInput as bad:
            raise BadInput(f"{where}.answer.{bad.message}", where=f"{where}.answer") from bad
