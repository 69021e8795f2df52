"""One answer, to be made better. What the person wrote becomes a response, and better than the original."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ..rubrics import Rubric, Words
from .base import Answer, Choice, Kind, Pair, bad

LONGEST = 200_000
AS_IT_IS = "as_it_is"


class Edit(Kind):
    """The answer is {"edited": bool}: false where it was good as it was.

    The text is no part of it: it becomes a Response (`Judgment.wrote`), at the position after the original.
    """

    slug = "edit"
    title = _("Editing")
    question = _("Write the answer that you would rather have received")
    writes = True
    can_be_known = False
    choices = (Choice("as_it_is", AS_IT_IS, _("Good as it is")),)

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        if body.get("choice") == AS_IT_IS and body.get("content") is None:
            return {"edited": False}
        content = body.get("content")
        if not isinstance(content, str) or not content.strip() or len(content) > LONGEST:
            raise bad("content", f"text that is not empty, {LONGEST} characters at most")
        return {"edited": True}

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        return [Pair(0, 1, "b")] if answer["edited"] else []

    def said(self, post: QueryDict) -> dict[str, Any]:
        if post.get("choice") == AS_IT_IS:
            return {"choice": AS_IT_IS}
        return {"content": post.get("content", "").replace("\r\n", "\n")}

    def words(self, answer: Answer, order: list[int]) -> Words:
        return _("Edited") if answer["edited"] else _("Good as it is")
