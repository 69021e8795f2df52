"""A vote taken back after the verdict: the decision is marked, never silently changed."""

from __future__ import annotations

import pytest

from feedback import judging
from feedback.models import Event, Judgment
from rlhf import gates, marks
from rlhf.models import Decision
from tests.factories import make_user
from tests.factories_rlhf import make_ballot, vote

pytestmark = pytest.mark.django_db


def promoted() -> Decision:
    voters = [make_user() for _ in range(3)]
    decision = make_ballot(*voters)
    for n in range(16):
        vote(decision.queue, voters[n % 3], 0)
    return gates.consume(decision=decision)


def take_back(decision: Decision, number: int) -> str:
    name: str = decision.figures["votes"][number]["judgment"]
    judging.withdraw_rows(Judgment.objects.filter(pk=name), reason="the person asked for it", actor=None)
    return name


def test_a_withdrawn_vote_is_marked_with_the_figure_without_it_and_the_verdict_stays() -> None:
    """15 wins and a half: ln L = 15.5 ln 1.2 + .5 ln .8 = 2.714 < 2.890. The rule would still be open."""
    decision = promoted()
    before = dict(decision.figures)
    name = take_back(decision, 3)
    assert marks.mark_changed() == 1
    decision.refresh_from_db()
    assert decision.figures == before and decision.status == "promoted"
    (mark,) = decision.marks
    assert mark["judgments"] == [name]
    assert (mark["score"], mark["n"], mark["decided"]) == (15.5, 16, "open")
    assert Event.objects.filter(verb="decision.marked").count() == 1


def test_the_same_withdrawal_is_marked_once_and_a_second_one_adds_up() -> None:
    decision = promoted()
    take_back(decision, 3)
    assert [marks.mark_changed(), marks.mark_changed()] == [1, 0]
    second = take_back(decision, 7)
    assert marks.mark_changed() == 1
    decision.refresh_from_db()
    assert [mark["score"] for mark in decision.marks] == [15.5, 15.0]
    assert decision.marks[1]["judgments"] == [second]


def test_a_corrected_vote_counts_as_corrected() -> None:
    decision = promoted()
    old = Judgment.objects.get(pk=decision.figures["votes"][0]["judgment"])
    Judgment.objects.create(item=old.item, queue=old.queue, author=old.author, answer={"choice": 1}, supersedes=old)
    marks.mark_changed()
    decision.refresh_from_db()
    assert decision.marks[0]["score"] == 15.0


def test_a_vote_that_the_rule_never_read_marks_nothing() -> None:
    voters = [make_user() for _ in range(3)]
    decision = make_ballot(*voters)
    for n in range(18):
        vote(decision.queue, voters[n % 3], 0)
    gates.consume(decision=decision)
    late = Judgment.objects.order_by("-pk")[:2]
    judging.withdraw_rows(Judgment.objects.filter(pk__in=[j.pk for j in late]), reason="asked", actor=None)
    assert marks.mark_changed() == 0


def test_a_vote_withdrawn_while_people_vote_is_half_a_vote() -> None:
    ann = make_user()
    decision = make_ballot(ann)
    for _ in range(3):
        vote(decision.queue, ann, 0)
    first = Judgment.objects.order_by("pk").first()
    assert first is not None
    judging.withdraw_rows(Judgment.objects.filter(pk=first.pk), reason="excluded", actor=None)
    gates.consume(decision=decision)
    assert [v["x"] for v in decision.figures["votes"]] == [0.5, 1.0, 1.0]
    assert decision.marks == [] and marks.mark_changed() == 0
