"""Review, flags, and items asked again."""

from __future__ import annotations

import pytest

from feedback import aggregation, assigning, flagging, judging, review
from feedback.errors import BadInput, Conflict, NotAllowed, NotFound
from feedback.models import FlagCase, Item, Judgment, Preference, Queue, Review, User
from tests.factories import make_item, make_member, make_queue, make_user

pytestmark = pytest.mark.django_db


def answer(queue: Queue, person: User, **body: object) -> Judgment:
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    return judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": "A", **body}).judgment


@pytest.fixture
def people() -> tuple[User, User, User]:
    return make_user("ann"), make_user("ben"), make_user("rev", role="reviewer")


def reviewed_queue(people: tuple[User, User, User], **fields: object) -> Queue:
    ann, ben, rev = people
    queue = make_queue(members=(ann, ben), **fields)
    make_member(queue, rev, role="reviewer")
    return queue


def test_flagged_comes_before_disputed_before_a_sample(people: tuple[User, User, User]) -> None:
    ann, ben, rev = people
    queue = reviewed_queue(people, overlap=2)
    make_item(queue), make_item(queue), make_item(queue)
    plain, disputed, flagged = answer(queue, ann), answer(queue, ann, choice="tie"), answer(queue, ann, flags=["false"])
    answer(queue, ben, choice="both_bad" if plain.answer == {"choice": "both_bad"} else "A")
    answer(queue, ben, choice="both_bad")
    aggregation.gather()
    seen = []
    while (found := review.next_one(queue=queue, reviewer=rev)) is not None:
        seen.append(found)
        review.decide(judgment=found[0], reviewer=rev, outcome="accepted", reason=found[1])
    assert seen[0] == (flagged, "flagged")
    assert disputed in [judgment for judgment, why in seen if why == "disputed"]
    assert {why for _, why in seen} >= {"flagged", "disputed"}


def test_a_correction_supersedes_and_counts_in_its_place(people: tuple[User, User, User]) -> None:
    ann, _, rev = people
    queue = reviewed_queue(people)
    make_item(queue)
    judgment = answer(queue, ann, choice="A")
    review.decide(judgment=judgment, reviewer=rev, outcome="corrected", body={"choice": "tie"})
    aggregation.gather()
    found = Preference.objects.get()
    assert (found.n_a, found.n_b, found.n_tie) == (0, 0, 1)
    new = Judgment.objects.get(supersedes=judgment)
    assert new.author == rev and new.assignment is None
    assert aggregation.check_derived() == []


def test_a_rejection_frees_the_seat_for_somebody_else_alone(people: tuple[User, User, User]) -> None:
    ann, ben, rev = people
    queue = reviewed_queue(people)
    item = make_item(queue)
    judgment = answer(queue, ann)
    aggregation.gather()
    with pytest.raises(BadInput, match="say why"):
        review.decide(judgment=judgment, reviewer=rev, outcome="rejected")
    review.decide(judgment=judgment, reviewer=rev, outcome="rejected", note="Not read.")
    item.refresh_from_db()
    assert item.status == "open" and not Review.objects.exclude(outcome="rejected").exists()
    assert assigning.claim(queue=queue, annotator=ann) is None
    assert answer(queue, ben).item_id == item.pk
    assert [r.note for r in review.outcomes(annotator=ann)] == ["Not read."]


def test_nobody_reviews_their_own_nor_twice(people: tuple[User, User, User]) -> None:
    ann, ben, rev = people
    queue = reviewed_queue(people)
    make_item(queue)
    judgment = answer(queue, ann)
    with pytest.raises(NotAllowed):
        review.decide(judgment=judgment, reviewer=ann, outcome="accepted")
    review.decide(judgment=judgment, reviewer=rev, outcome="accepted")
    with pytest.raises(Conflict, match="reviewed this judgment meanwhile"):
        review.decide(judgment=judgment, reviewer=make_user(role="admin"), outcome="accepted")
    with pytest.raises(NotFound):
        review.find(judgment_id=judgment.pk, reviewer=ben)


def test_a_bad_correction_stores_nothing(people: tuple[User, User, User]) -> None:
    ann, _, rev = people
    queue = reviewed_queue(people)
    make_item(queue)
    judgment = answer(queue, ann)
    with pytest.raises(BadInput, match="choice"):
        review.decide(judgment=judgment, reviewer=rev, outcome="corrected", body={"choice": "neither"})
    assert not Review.objects.exists() and Judgment.objects.count() == 1


def test_one_flag_of_harm_is_noted_and_two_hold_the_item(people: tuple[User, User, User]) -> None:
    ann, ben, rev = people
    queue = reviewed_queue(people, overlap=2)
    item = make_item(queue)
    answer(queue, ann, flags=["harmful"])
    assert not FlagCase.objects.exists()
    answer(queue, ben, flags=["harmful"])
    item.refresh_from_db()
    assert item.status == "held"
    case = flagging.cases(queue=queue).get()
    with pytest.raises(NotAllowed, match="a reviewer decides"):
        flagging.decide(case=case, confirm=True, actor=ann)
    flagging.decide(case=case, confirm=True, actor=rev)
    assert Item.objects.get().status == "unusable"


def test_a_dismissed_flag_lets_the_item_settle(people: tuple[User, User, User]) -> None:
    ann, ben, rev = people
    queue = reviewed_queue(people, overlap=2)
    item = make_item(queue)
    answer(queue, ann, flags=["personal_data"]), answer(queue, ben, flags=["personal_data"])
    aggregation.gather()
    flagging.decide(case=FlagCase.objects.get(), confirm=False, actor=rev)
    aggregation.gather()
    item.refresh_from_db()
    assert item.status == "settled"


def test_seats_of_withdrawn_answers_can_be_asked_again(people: tuple[User, User, User]) -> None:
    ann, ben, _ = people
    queue = reviewed_queue(people)
    item = make_item(queue)
    judgment = answer(queue, ann)
    aggregation.gather()
    judging.withdraw_rows(Judgment.objects.filter(pk=judgment.pk), reason="asked to", actor=None)
    assert review.ask_again(queue=queue) == 1
    assert review.ask_again(queue=queue) == 0
    assert answer(queue, ben).item_id == item.pk
    with pytest.raises(Conflict):
        judging.reinstate_rows(Judgment.objects.filter(pk=judgment.pk), reason="back", actor=None)
