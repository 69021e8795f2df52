"""Gold and repeats: who gets them when, that they look like any item, and what is right."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback import assigning, gold, judging, presenting
from feedback.errors import BadInput
from feedback.models import Assignment, Judgment, Membership, Queue, User
from tests.factories import make_item, make_member, make_prompt, make_queue, make_user

pytestmark = pytest.mark.django_db


def answer(queue: Queue, person: User, choice: str = "A") -> Assignment:
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})
    return lease


def test_a_fifth_of_a_new_persons_items_is_gold_exactly() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), gold_rate=0.03, gold_start_rate=0.2, gold_start_items=20)
    for _ in range(20):
        make_item(queue)
    for _ in range(8):
        make_item(queue, gold={"choice": "A"})
    asked = [answer(queue, ann).purpose for _ in range(20)]
    assert asked.count("gold") == 4
    assert all(asked[n : n + 5].count("gold") == 1 for n in range(0, 20, 5))


def test_nobody_gets_gold_where_the_queue_wants_none() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue, gold={"choice": "A"})
    make_item(queue)
    assert answer(queue, ann).purpose == "label"
    assert assigning.claim(queue=queue, annotator=ann) is None


def test_gold_looks_like_any_item_in_the_payload() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), gold_rate=1, gold_start_items=0)
    make_item(queue, gold={"choice": "A", "attention": True})
    make_item(queue)
    first = assigning.claim(queue=queue, annotator=ann)
    assert first is not None and first.purpose == "gold"
    plain = make_queue(members=(ann,))
    make_item(plain)
    other = assigning.claim(queue=plain, annotator=ann)
    assert other is not None
    one, two = presenting.payload(first), presenting.payload(other)
    assert one.keys() == two.keys() and one["item"].keys() == two["item"].keys()
    assert "gold" not in str(one)


def test_gold_takes_no_seat_and_teaches_nothing() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben), gold_rate=1, gold_start_items=0)
    known = make_item(queue, gold={"choice": "B"})
    make_item(queue)
    assert {answer(queue, p).item_id for p in (ann, ben)} == {known.pk}
    assert set(Judgment.objects.values_list("purpose", flat=True)) == {"gold"}


def test_the_copy_promoted_from_an_item_is_not_asked_of_who_judged_it() -> None:
    ann, ben = make_user(), make_user()
    queue = make_queue(members=(ann, ben), gold_rate=0)
    item = make_item(queue)
    answer(queue, ann)
    copy, made = gold.promote(item=item, gold={"choice": "A"})
    assert made and not copy.seats.exists()
    assert gold.promote(item=item, gold={"choice": "A"}) == (copy, False)
    assert gold.pick(queue, ann) is None
    assert gold.pick(queue, ben) == copy


def test_a_repeat_comes_after_a_week_once_with_the_sides_swapped_and_is_not_trained_on() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), repeat_rate=0.2, repeat_after_days=7)
    item = make_item(queue)
    first = answer(queue, ann)
    assert gold.pick_repeat(queue, ann) is None
    Assignment.objects.update(ended_at=timezone.now() - timedelta(days=8))
    assert gold.pick_repeat(queue, ann) == item
    lease = assigning._lease(item, None, "repeat", queue, ann, 0)
    assert lease.order == first.order[::-1]
    again = judging.judge(assignment_id=lease.pk, annotator=ann, body={"choice": "A"}).judgment
    assert again.purpose == "repeat"
    assert gold.pick_repeat(queue, ann) is None


def test_a_model_judge_takes_nobodys_seat() -> None:
    ann, judge = make_user(), make_user()
    queue = make_queue(members=(ann,))
    make_member(queue, judge, kind="model")
    item = make_item(queue)
    lease = answer(queue, judge)
    assert (lease.purpose, lease.seat_id, lease.item_id) == ("judge", None, item.pk)
    assert assigning.claim(queue=queue, annotator=judge) is None
    assert answer(queue, ann).item_id == item.pk


def test_a_qualification_comes_first_and_pauses_who_fails_it() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), qualify_of=3, qualify_right=2)
    for _ in range(3):
        make_item(queue, gold={"choice": "tie"})
        make_item(queue)
    assert [answer(queue, ann, "both_bad").purpose for _ in range(3)] == ["gold"] * 3
    member = Membership.objects.get(user=ann)
    assert member.paused_at is not None and "2 right of 3" in member.paused_reason


def test_who_qualifies_goes_on_with_ordinary_items() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), qualify_of=2, qualify_right=2)
    for _ in range(2):
        make_item(queue, gold={"choice": "tie"})
        make_item(queue)
    for _ in range(2):
        answer(queue, ann, "tie")
    assert Membership.objects.get(user=ann).qualified_at is not None
    assert answer(queue, ann).purpose == "label"


@pytest.mark.parametrize(
    ("kind", "known", "given", "right"),
    [
        ("comparison", {"choice": "B"}, {"choice": 1}, True),
        ("comparison", {"choice": "tie"}, {"choice": 0}, False),
        ("thumbs", {"thumb": "up"}, {"thumb": "up"}, True),
        ("rating", {"ratings": {"clear": 4}}, {"ratings": [{"clear": 5}]}, True),
        ("rating", {"ratings": {"clear": 4}}, {"ratings": [{"clear": 2}]}, False),
        ("ranking", {"ranking": [["B"], ["A", "C"]]}, {"ranking": [[1], [2], [0]]}, True),
        ("ranking", {"ranking": [["B"], ["A", "C"]]}, {"ranking": [[0], [1], [2]]}, False),
    ],
)
def test_what_counts_as_right(kind: str, known: dict, given: dict, right: bool) -> None:
    assert gold.is_right(kind, known, given) is right


@pytest.mark.parametrize("known", [{}, {"choice": "C"}, {"choice": 0}, "A", {"choice": "A", "attention": "yes"}])
def test_what_is_no_known_answer_is_refused(known: object) -> None:
    with pytest.raises(BadInput, match="gold: expected"):
        gold.check("comparison", known, 2, "[0]")


def test_a_person_who_knows_the_prompt_as_gold_may_still_answer_another_item_on_it() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,), gold_rate=1, gold_start_items=0)
    prompt = make_prompt()
    make_item(queue, prompt=prompt, gold={"choice": "A"})
    make_item(queue, prompt=prompt, texts=("Other one.", "Other two."))
    assert [answer(queue, ann).purpose for _ in range(2)] == ["gold", "label"]
