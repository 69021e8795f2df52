from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback import assigning, judging
from feedback.errors import AlreadyJudged, BadInput, Conflict, IdempotencyConflict, LeaseLost, NotFound
from feedback.models import Assignment, Judgment, Queue, Seat, User
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_user()


@pytest.fixture
def queue(ann: User) -> Queue:
    queue = make_queue(members=(ann,))
    make_item(queue)
    return queue


def lease(queue: Queue, ann: User) -> Assignment:
    found = assigning.claim(queue=queue, annotator=ann)
    assert found is not None
    return found


def judge(assignment: Assignment, ann: User, key: str | None = None, **body: object) -> judging.Taken:
    return judging.judge(assignment_id=assignment.pk, annotator=ann, body={"choice": "A", **body}, idempotency_key=key)


def test_the_choice_is_stored_by_position_whatever_side_it_was_shown_on(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    taken = judge(assignment, ann)
    assert taken.judgment.answer == {"choice": assignment.order[0]}
    assert taken.judgment.evidence["slot"] == "A" and taken.judgment.evidence["order"] == assignment.order


def test_the_same_key_and_body_store_once(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    first, again = judge(assignment, ann, "k"), judge(assignment, ann, "k")
    assert first.created and not again.created and first.judgment == again.judgment
    assert Judgment.objects.count() == 1


def test_the_same_key_with_another_body_is_a_conflict(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    judge(assignment, ann, "k")
    with pytest.raises(IdempotencyConflict):
        judge(assignment, ann, "k", choice="B")


def test_judging_again_without_a_key_names_the_judgment_that_stands(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    taken = judge(assignment, ann)
    with pytest.raises(AlreadyJudged) as caught:
        judge(assignment, ann, choice="B")
    assert caught.value.details["judgment"] == str(taken.judgment.pk)


def test_a_late_answer_is_taken_while_its_seat_is_free(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    assigning.expire(assignment)
    assert judge(assignment, ann).created
    assert Seat.objects.get().status == "judged"


def test_a_late_answer_to_a_taken_seat_is_lost_and_says_so(queue: Queue, ann: User) -> None:
    ben = make_user()
    queue.memberships.create(user=ben)
    assignment = lease(queue, ann)
    assigning.expire(assignment)
    lease(queue, ben)
    with pytest.raises(LeaseLost):
        judge(assignment, ann)
    assert Judgment.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"choice": "C"}, "choice"),
        ({"strength": 4}, "strength"),
        ({"strength": True}, "strength"),
        ({"flags": ["rude"]}, "flags"),
        ({"duration_ms": -1}, "duration_ms"),
        ({"rationale": "a\x00"}, "rationale"),
    ],
)
def test_a_bad_answer_names_its_field_and_keeps_the_lease(
    queue: Queue, ann: User, body: dict[str, object], where: str
) -> None:
    assignment = lease(queue, ann)
    with pytest.raises(BadInput) as caught:
        judge(assignment, ann, **body)
    assert where in caught.value.details["where"]
    assert Assignment.objects.get().status == "leased"


def test_undo_hands_the_same_item_back_and_the_judgment_stays_on_record(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    judgment = judge(assignment, ann).judgment
    again = judging.undo(judgment_id=judgment.pk, annotator=ann)
    assert again.pk == assignment.pk and again.status == "leased"
    judgment.refresh_from_db()
    assert judgment.withdrawn_reason == "undone"
    assert judge(again, ann, choice="B").created


def test_only_the_last_ten_can_be_undone(queue: Queue, ann: User) -> None:
    for _ in range(judging.UNDO_LAST):
        make_item(queue)
    done = [judge(lease(queue, ann), ann).judgment for _ in range(judging.UNDO_LAST + 1)]
    with pytest.raises(Conflict, match="last 10"):
        judging.undo(judgment_id=done[0].pk, annotator=ann)
    judging.undo(judgment_id=done[1].pk, annotator=ann)


def test_nobody_undoes_anothers_judgment(queue: Queue, ann: User) -> None:
    judgment = judge(lease(queue, ann), ann).judgment
    with pytest.raises(NotFound):
        judging.undo(judgment_id=judgment.pk, annotator=make_user())


def test_an_answer_after_the_lease_ran_out_unnoticed_is_still_taken(queue: Queue, ann: User) -> None:
    assignment = lease(queue, ann)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert judge(assignment, ann).created
