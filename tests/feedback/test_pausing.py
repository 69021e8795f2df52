"""Pausing rests on known answers alone; the person sees why, can appeal, and nothing done is lost."""

from __future__ import annotations

import pytest

from feedback import aggregation, assigning, judging, pausing
from feedback.errors import Conflict, PausedHere
from feedback.models import Event, Judgment, Membership, Queue, Seat, User
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db


def golden_queue(*people: User, items: int = 20) -> Queue:
    queue = make_queue(members=people, gold_rate=1, gold_start_items=0)
    for _ in range(items):
        make_item(queue, gold={"choice": "tie"})
    make_item(queue)
    return queue


def answer(queue: Queue, person: User, choice: str) -> None:
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})


def member(person: User) -> Membership:
    return Membership.objects.select_related("user", "queue").get(user=person)


def test_an_adversary_is_paused_after_six_and_told_why() -> None:
    eve = make_user()
    queue = golden_queue(eve)
    for _ in range(6):
        answer(queue, eve, "both_bad")
    assert "6 of 6 checks came out wrong" in member(eve).paused_reason
    with pytest.raises(PausedHere, match="You are paused in this queue"):
        assigning.claim(queue=queue, annotator=eve)
    assert Event.objects.filter(verb="member.paused", actor=None).exists()


def test_an_honest_person_goes_on() -> None:
    ann = make_user()
    queue = golden_queue(ann)
    for n in range(16):
        answer(queue, ann, "tie" if n % 4 else "A")
    assert member(ann).paused_at is None


def test_who_differs_from_everybody_else_is_not_paused() -> None:
    ann, ben, cat = make_user(), make_user(), make_user()
    queue = make_queue(members=(ann, ben, cat), overlap=3, gold_rate=0.03)
    for _ in range(15):
        make_item(queue)
    for person, choice in ((ann, "tie"), (ben, "tie"), (cat, "both_bad")):
        for _ in range(15):
            answer(queue, person, choice)
    assert member(cat).paused_at is None


def test_a_pause_hands_back_what_the_person_holds() -> None:
    ann, boss = make_user(), make_user(role="admin")
    queue = make_queue(members=(ann,))
    make_item(queue)
    assigning.claim(queue=queue, annotator=ann)
    pausing.pause(member=member(ann), reason="We need to talk.", actor=boss)
    assert Seat.objects.get().status == "free"
    with pytest.raises(Conflict, match="paused already"):
        pausing.pause(member=member(ann), reason="Again.", actor=boss)


def test_an_appeal_is_made_once_and_a_resumption_starts_the_test_anew() -> None:
    eve, boss = make_user(), make_user(role="admin")
    queue = golden_queue(eve)
    for _ in range(6):
        answer(queue, eve, "both_bad")
    pausing.appeal(member=member(eve), text="The gold is wrong.")
    with pytest.raises(Conflict):
        pausing.appeal(member=member(eve), text="And again.")
    pausing.resume(member=member(eve), actor=boss)
    assert pausing.signs(member(eve)) == []
    answer(queue, eve, "both_bad")
    assert member(eve).paused_at is None


def test_withheld_judgments_teach_nothing_until_given_back() -> None:
    ann, boss = make_user(), make_user(role="admin")
    queue = make_queue(members=(ann,))
    item = make_item(queue)
    answer(queue, ann, "A")
    aggregation.gather()
    assert item.preferences.count() == 1
    assert pausing.withhold(member=member(ann), actor=boss) == 1
    aggregation.gather()
    assert item.preferences.count() == 0
    assert Judgment.objects.get().withdrawn_at is None  # done, and payable
    assert pausing.give_back(member=member(ann), actor=boss) == 1
    aggregation.gather()
    assert item.preferences.count() == 1
    assert aggregation.check_derived() == []


def test_who_is_paused_takes_nothing_back_and_so_holds_nothing() -> None:
    ann, boss = make_user(), make_user(role="admin")
    queue = make_queue(members=(ann,))
    make_item(queue)
    answer(queue, ann, "A")
    pausing.pause(member=member(ann), reason="We need to talk.", actor=boss)
    with pytest.raises(PausedHere):
        judging.undo(judgment_id=Judgment.objects.get().pk, annotator=ann)
    assert Judgment.objects.get().withdrawn_at is None
