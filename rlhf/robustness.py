"""How much the verdict hangs on single votes and single people.

"k votes would flip it" says nothing of a test that stops at its boundary: there k is always 1. What is told
instead: the net votes that would bring the share to one half, the verdict without each person, and the largest
share of the votes by one person. People are letters here: engineers see no person's figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np

from feedback.models import Judgment
from feedback.stats.sequential import Rule, log_statistic, stopping_times

from .ballots import Vote

LEAST_PEOPLE = 3
LARGEST_SHARE = 0.4


def robustness(rule: Rule, votes: Sequence[Vote]) -> dict[str, Any]:
    """{"net_votes", "people", "largest_share", "thin", "without": [{"person", "votes", "share", "verdict"}]}.

    votes: those that the verdict rests on. verdict without a person: promote, refuse, or open (not decided by
    what is left).
    """
    people = authors(votes)
    mine = Counter(people[v["judgment"]] for v in votes if v["judgment"] in people)
    cast = sum(mine.values())
    largest = max(mine.values()) / cast if cast else 0.0
    xs = [v["x"] for v in votes]
    return {
        "net_votes": round(2 * sum(xs) - len(xs), 1),
        "people": len(mine),
        "largest_share": round(largest, 4),
        "thin": thin(len(mine), largest),
        "without": [_without(rule, votes, people, person, count) for person, count in mine.most_common()],
    }


def thin(people: int, largest: float) -> str:
    """Why this looks like the taste of a few, or nothing."""
    if people < LEAST_PEOPLE:
        return f"Only {people} {'person' if people == 1 else 'people'} voted; a verdict should rest on at least 3."
    if largest > LARGEST_SHARE:
        return f"One person gave {largest:.0%} of the votes; nobody should give more than 40%."
    return ""


def authors(votes: Sequence[Vote]) -> dict[str, str]:
    """Judgment id -> a letter for the person, in the order of their first vote."""
    ids = [v["judgment"] for v in votes if v["judgment"]]
    author = {str(pk): who for pk, who in Judgment.objects.filter(pk__in=ids).values_list("pk", "author_id")}
    order = list(dict.fromkeys(author[i] for i in ids if i in author))
    letters = {who: letter(n) for n, who in enumerate(order)}
    return {i: letters[author[i]] for i in ids if i in author}


def letter(n: int) -> str:
    """A, B, ... Z, A1, B1, ..."""
    return ascii_uppercase[n % 26] + (str(n // 26) if n >= 26 else "")


def _without(rule: Rule, votes: Sequence[Vote], people: dict[str, str], person: str, count: int) -> dict[str, Any]:
    left = np.array([v["x"] for v in votes if people.get(v["judgment"]) != person], dtype=float)
    share = round(float(left.mean()), 4) if len(left) else None
    return {"person": person, "votes": count, "share": share, "verdict": verdict(rule, left)}


def verdict(rule: Rule, votes: np.ndarray) -> str:
    """What the rule says of these votes: promote, refuse or open."""
    path = log_statistic(rule, votes)
    stop = stopping_times(rule, path)
    if not np.isfinite(stop):
        return "open"
    return "promote" if path[int(stop) - 1] >= rule.upper else "refuse"
