"""Points for each attribute of the queue's rubric, for one answer or for several."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ..rubrics import Rubric, Words, score
from .base import SLOTS, Answer, Kind, Pair, bad, by_score, slot_of, slots_shown


class Rating(Kind):
    """The answer is {"ratings": [{attribute: points} by position], "scores": [their weighted mean, 0..1]}.

    Scores are stored with the judgment: a rubric that changes later does not change what was said.
    """

    slug = "rating"
    title = _("Rating")
    question = _("How good is it?")
    most = 9

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        """Takes {"ratings": {attribute: points}} for one answer, {"ratings": {slot: {attribute: points}}} for more."""
        ratings = body.get("ratings")
        if not isinstance(ratings, dict):
            raise bad("ratings", "an object")
        if len(order) == 1 and set(ratings) != {"A"}:
            ratings = {"A": ratings}
        if sorted(ratings) != list(slots_shown(order)):
            raise bad("ratings", f"one entry for each of {', '.join(slots_shown(order))}")
        found = {order[SLOTS.index(slot)]: _points(rows, f"ratings.{slot}", rubric) for slot, rows in ratings.items()}
        by_position = [found[position] for position in range(len(order))]
        return {"ratings": by_position, "scores": [score(points, rubric) for points in by_position]}

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        return by_score(answer["scores"])

    def said(self, post: QueryDict) -> dict[str, Any]:
        """From the fields `rating_A_helpful`."""
        ratings: dict[str, dict[str, int]] = {}
        for name, value in post.items():
            if name.startswith("rating_") and isinstance(value, str) and value.isdecimal():
                _start, slot, attribute = name.split("_", 2)
                ratings.setdefault(slot, {})[attribute] = int(value)
        return {"ratings": ratings}

    def by_key(self, answer: Answer, keys: list[str]) -> Answer:
        return {name: dict(zip(keys, rows, strict=True)) for name, rows in answer.items()}

    def words(self, answer: Answer, order: list[int]) -> Words:
        told = []
        for position in order or range(len(answer["ratings"])):
            points = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in answer["ratings"][position].items())
            told.append(points if len(answer["ratings"]) == 1 else f"{slot_of(position, order)}: {points}")
        return "; ".join(told)

    def agrees(self, one: Answer, other: Answer) -> bool:
        """Within one point on every attribute that both have."""
        return all(
            abs(mine[name] - theirs[name]) <= 1
            for mine, theirs in zip(one["ratings"], other["ratings"], strict=True)
            for name in mine.keys() & theirs.keys()
        )


def _points(rows: Any, where: str, rubric: Rubric) -> dict[str, int]:
    names = [a.name for a in rubric.attributes]
    if not isinstance(rows, dict) or set(rows) != set(names):
        raise bad(where, f"points for each of {', '.join(names)}")
    for attribute in rubric.attributes:
        points = rows[attribute.name]
        if type(points) is not int or points not in attribute.steps:
            raise bad(f"{where}.{attribute.name}", f"a whole number from 1 to {attribute.points}")
    return {name: rows[name] for name in names}
