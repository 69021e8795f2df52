"""Two answers: which is better, or a tie, or both bad."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..rubrics import Rubric, Words
from .base import SLOTS, Answer, Choice, Kind, Pair, bad, slot_of, slots_shown

STRENGTHS: dict[int, Words] = {1: _("better"), 2: _("clearly better"), 3: _("much better")}


class Comparison(Kind):
    slug = "comparison"
    title = _("Comparison")
    question = _("Which answer is better?")
    fewest = most = 2
    strengths = STRENGTHS
    choices = (
        Choice("a", "A", _("A better"), "a-better primary"),
        Choice("tie", "tie", _("Tie")),
        Choice("both_bad", "both_bad", _("Both bad")),
        Choice("b", "B", _("B better"), "b-better primary"),
    )

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        choice = body.get("choice")
        if not isinstance(choice, str) or choice not in [*slots_shown(order), "tie", "both_bad"]:
            raise bad("choice", f"{', '.join(slots_shown(order))}, tie or both_bad")
        return {"choice": order[SLOTS.index(choice)] if choice in SLOTS else choice}

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        choice = answer["choice"]
        return [Pair(0, 1, choice if choice in ("tie", "both_bad") else "ab"[choice])]

    def said(self, post: QueryDict) -> dict[str, Any]:
        choice, strength = post.get("choice", ""), post.get("strength", "1")
        if choice and choice in SLOTS and strength.isdecimal():
            return {"choice": choice, "strength": int(strength)}
        return {"choice": choice}

    def by_key(self, answer: Answer, keys: list[str]) -> Answer:
        choice = answer.get("choice")
        return {**answer, "choice": keys[choice]} if isinstance(choice, int) else answer

    def words(self, answer: Answer, order: list[int]) -> Words:
        choice = answer.get("choice")
        if choice == "tie":
            return _("Tie")
        if choice == "both_bad":
            return _("Both bad")
        return gettext("{slot} better").format(slot=slot_of(choice, order))  # type: ignore[arg-type]
