"""One answer: good or not. It implies no pairs; datasets read it as a label of its own."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ..rubrics import Rubric, Words
from .base import Answer, Choice, Kind, Pair, bad

THUMBS: dict[str, Words] = {"up": _("Good"), "down": _("Bad")}


class Thumbs(Kind):
    slug = "thumbs"
    title = _("Thumbs")
    question = _("Is this a good answer?")
    choices = (
        Choice("up", "up", _("👍 Good"), "a-better primary"),
        Choice("down", "down", _("👎 Bad"), "b-better primary"),
    )

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        thumb = body.get("thumb")
        if not isinstance(thumb, str) or thumb not in THUMBS:
            raise bad("thumb", "up or down")
        return {"thumb": thumb}

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        return []

    def said(self, post: QueryDict) -> dict[str, Any]:
        return {"thumb": post.get("choice", "")}

    def words(self, answer: Answer, order: list[int]) -> Words:
        return THUMBS[answer["thumb"]]
