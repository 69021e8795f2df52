"""How much a verdict hangs on single people, in figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.models import Judgment
from feedback.stats.sequential import Rule
from rlhf import gates, robustness
from tests.factories import make_user
from tests.factories_rlhf import make_ballot, vote

pytestmark = pytest.mark.django_db


def decided(*wins: bool, people: int = 3) -> dict[str, Any]:
    voters = [make_user(f"voter-{n}") for n in range(people)]
    decision = make_ballot(*voters)
    for n, win in enumerate(wins):
        vote(decision.queue, voters[n % people], 0 if win else 1)
    gates.consume(decision=decision)
    found: dict[str, Any] = decision.figures["robustness"]
    return found


def test_net_votes_are_what_would_bring_the_share_to_one_half() -> None:
    """16 straight wins: sixteen losses more would make it 16 of 32."""
    assert decided(*[True] * 16)["net_votes"] == 16


def test_people_are_letters_in_the_order_of_their_first_vote() -> None:
    found = decided(*[True] * 16)
    assert [(row["person"], row["votes"]) for row in found["without"]] == [("A", 6), ("B", 5), ("C", 5)]
    assert "voter-" not in str(found)


def test_without_one_of_three_sixteen_straight_wins_are_not_enough() -> None:
    """SPRT needs 16 in a row; 10 or 11 are left."""
    found = decided(*[True] * 16)
    assert [row["verdict"] for row in found["without"]] == ["open"] * 3
    assert all(row["share"] == 1.0 for row in found["without"])


@pytest.mark.parametrize(("people", "says"), [(1, "Only 1 person"), (2, "Only 2 people"), (3, "")])
def test_fewer_than_three_people_are_said_to_be_few(people: int, says: str) -> None:
    found = decided(*[True] * 16, people=people)
    assert found["people"] == people and found["thin"].startswith(says) and bool(found["thin"]) == bool(says)


def test_one_person_with_more_than_40_percent_is_said_to_weigh_too_much() -> None:
    assert robustness.thin(5, 0.41).startswith("One person gave 41%")
    assert robustness.thin(5, 0.40) == ""


def test_a_verdict_that_one_person_carries_turns_without_them() -> None:
    """A: 20 wins; B and C: 12 losses first. Without A the losses alone refuse at the eleventh."""
    a, b = make_user(), make_user()
    votes = []
    decision = make_ballot(a, b)
    for n in range(32):
        vote(decision.queue, b if n < 12 else a, 1 if n < 12 else 0)
    for judgment in Judgment.objects.order_by("pk"):
        x = 1.0 if judgment.answer["choice"] == 0 else 0.0
        votes.append({"prompt": "p", "x": x, "why": "", "judgment": str(judgment.pk)})
    rows = {r["person"]: r for r in robustness.robustness(Rule("betting"), votes)["without"]}
    assert rows["A"]["verdict"] == "promote" and rows["B"]["verdict"] == "open"


def test_more_than_26_people_get_two_characters() -> None:
    assert [robustness.letter(n) for n in (0, 25, 26, 51, 52)] == ["A", "Z", "A1", "Z1", "A2"]
