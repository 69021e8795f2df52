"""Up to nine answers in order, best first; equals share a rank, or all are bad."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ..rubrics import Rubric, Words
from .base import SLOTS, Answer, Choice, Kind, Pair, bad, by_score, slot_of, slots_shown

ALL_BAD = "all_bad"


class Ranking(Kind):
    """The answer is {"ranking": [[positions that share the best rank], ...]} or {"choice": "all_bad"}."""

    slug = "ranking"
    title = _("Ranking")
    question = _("In which order would you rather receive these answers?")
    fewest, most = 2, 9
    choices = (Choice("all_bad", ALL_BAD, _("All bad")),)

    def answer(self, body: dict[str, Any], order: list[int], rubric: Rubric) -> Answer:
        if body.get("choice") == ALL_BAD and body.get("ranking") is None:
            return {"choice": ALL_BAD}
        ranking, slots = body.get("ranking"), slots_shown(order)
        if not isinstance(ranking, list) or not all(isinstance(rank, list) and rank for rank in ranking):
            raise bad("ranking", 'a list of ranks, each a list of slots, such as [["B"], ["A", "C"]]')
        given = [slot for rank in ranking for slot in rank]
        if not all(isinstance(slot, str) for slot in given) or sorted(given) != list(slots):
            raise bad("ranking", f"each of {', '.join(slots)} exactly once")
        return {"ranking": [sorted(order[SLOTS.index(slot)] for slot in rank) for rank in ranking]}

    def pairs(self, answer: Answer, count: int) -> list[Pair]:
        if answer.get("choice") == ALL_BAD:
            return [pair._replace(outcome="both_bad") for pair in by_score([0.0] * count)]
        height = {position: -float(n) for n, rank in enumerate(answer["ranking"]) for position in rank}
        return by_score([height[position] for position in range(count)])

    def said(self, post: QueryDict) -> dict[str, Any]:
        """From one field a slot, `rank_A`: its rank from 1; equal numbers share a rank, and gaps do not matter."""
        if post.get("choice") == ALL_BAD:
            return {"choice": ALL_BAD}
        ranks: dict[int, list[str]] = {}
        for slot in SLOTS:
            if (rank := post.get(f"rank_{slot}", "")).isdecimal():
                ranks.setdefault(int(rank), []).append(slot)
        return {"ranking": [ranks[rank] for rank in sorted(ranks)]}

    def by_key(self, answer: Answer, keys: list[str]) -> Answer:
        if "ranking" not in answer:
            return answer
        return {"ranking": [[keys[position] for position in rank] for rank in answer["ranking"]]}

    def words(self, answer: Answer, order: list[int]) -> Words:
        if answer.get("choice") == ALL_BAD:
            return _("All bad")
        return " > ".join(" = ".join(sorted(slot_of(p, order) for p in rank)) for rank in answer["ranking"])
