from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback import aggregation, assigning, judging
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


def of_kind(kind: str, ann: User, *texts: str, **fields: object) -> Assignment:
    queue = make_queue(kind=kind, members=(ann,), **fields)
    make_item(queue, texts=texts)
    return lease(queue, ann)


def said(assignment: Assignment, ann: User, **body: object) -> Judgment:
    return judging.judge(assignment_id=assignment.pk, annotator=ann, body=body).judgment


def pairs_of(judgment: Judgment) -> list[tuple[str, str, str, float]]:
    """What gathering derives from it: (text of a, text of b, outcome, weight)."""
    aggregation.gather()
    return [(c.a.content, c.b.content, c.outcome, c.weight) for c in judgment.comparisons.order_by("pk")]


def test_a_ranking_gives_weighted_pairs(ann: User) -> None:
    assignment = of_kind("ranking", ann, "x", "y", "z")
    slots = {assignment.item.ordered_responses()[p].content: s for p, s in zip(assignment.order, "ABC", strict=True)}
    judgment = said(assignment, ann, ranking=[[slots["z"]], [slots["x"], slots["y"]]])
    assert pairs_of(judgment) == [("x", "y", "tie", 0.5), ("x", "z", "b", 0.5), ("y", "z", "b", 0.5)]


def test_an_edit_becomes_a_response_of_the_policy_human_and_beats_the_original(ann: User) -> None:
    assignment = of_kind("edit", ann, "a poor answer")
    judgment = said(assignment, ann, content="a fine answer")
    assert judgment.wrote is not None and judgment.answer == {"edited": True}
    assert (judgment.wrote.policy.slug, judgment.wrote.author) == ("human", ann)
    assert pairs_of(judgment) == [("a poor answer", "a fine answer", "b", 1.0)]
    assert [r.content for r in judgment.item.ordered_responses()] == ["a poor answer"], "others do not see it"


@pytest.mark.parametrize("body", [{"content": "good enough"}, {"choice": "as_it_is"}])
def test_the_original_handed_back_is_good_as_it_is(ann: User, body: dict[str, str]) -> None:
    judgment = said(of_kind("edit", ann, "good enough"), ann, **body)
    assert judgment.answer == {"edited": False} and judgment.wrote is None and pairs_of(judgment) == []


def test_two_people_who_write_the_same_share_the_response(ann: User) -> None:
    ben = make_user()
    queue = make_queue(kind="edit", overlap=2, members=(ann, ben))
    make_item(queue, texts=("poor",))
    first, second = (said(lease(queue, who), who, content="fine") for who in (ann, ben))
    assert first.wrote == second.wrote


def test_thumbs_and_a_rating_of_one_answer_store_no_pairs(ann: User) -> None:
    assert pairs_of(said(of_kind("thumbs", ann, "one"), ann, thumb="up")) == []
    assert pairs_of(said(of_kind("rating", ann, "one"), ann, ratings={"quality": 4})) == []


def test_flags_are_those_of_the_queue(ann: User) -> None:
    assignment = of_kind("thumbs", ann, "one", rubric={"flags": ["too_long"]})
    with pytest.raises(BadInput, match="too_long"):
        said(assignment, ann, thumb="up", flags=["harmful"])
    assert said(assignment, ann, thumb="up", flags=["too_long"]).flags == ["too_long"]


def test_a_queue_may_ask_for_the_reason(ann: User) -> None:
    assignment = of_kind("thumbs", ann, "one", rubric={"rationale": "required"})
    with pytest.raises(BadInput, match="asks why"):
        said(assignment, ann, thumb="up", rationale=" ")


def test_a_mark_quotes_the_answer_as_written_or_as_shown(ann: User) -> None:
    assignment = of_kind("thumbs", ann, "It is **quite** true.\n\nReally.")
    spans = [
        {"slot": "A", "quote": "Really.", "mark": "made_up"},
        {"slot": "A", "quote": "is quite true. Really", "mark": "good"},
    ]
    stored = said(assignment, ann, thumb="up", spans=spans).spans
    assert [(s["response"], s["start"], s["mark"]) for s in stored] == [(0, 23, "made_up"), (0, None, "good")]


@pytest.mark.parametrize(
    ("span", "where"),
    [
        ({"slot": "A", "quote": "not in it", "mark": "made_up"}, "spans[0].quote"),
        ({"slot": "B", "quote": "one", "mark": "made_up"}, "spans[0].slot"),
        ({"slot": "A", "quote": "one", "mark": "blue"}, "spans[0].mark"),
        ("one", "spans[0].slot"),
    ],
)
def test_a_bad_mark_names_its_place(ann: User, span: object, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        said(of_kind("thumbs", ann, "one"), ann, thumb="up", spans=[span])
    assert caught.value.details["where"] == where
