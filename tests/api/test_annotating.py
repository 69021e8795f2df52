"""Claiming, judging, skipping, undoing, over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback import assigning
from feedback.models import Assignment, Judgment, Queue
from tests.api.conftest import Caller
from tests.factories import make_item, make_member, make_policy, make_queue

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def claimed(caller: Caller, **body: Any) -> dict[str, Any]:
    status, lease = caller.post("/queues/which/claim/", body)
    assert status == 200, lease
    return lease


def test_a_claim_shows_the_prompt_and_both_answers_and_no_policy(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    assert set(lease) == {"assignment", "expires_at", "item"}
    assert set(lease["item"]) == {"id", "kind", "prompt", "responses"}
    assert [set(r) for r in lease["item"]["responses"]] == [{"slot", "content"}] * 2
    assert [r["slot"] for r in lease["item"]["responses"]] == ["A", "B"]
    assert "policy" not in json.dumps(lease)


def test_no_answer_names_a_policy(ann: Caller, queue: Queue) -> None:
    spy = make_policy("super-secret-policy")
    item = queue.items.order_by("position").first()
    type(item.ordered_responses()[0]).objects.filter(items=item).update(policy=spy)
    lease = claimed(ann)
    _, judged = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A"})
    _, undone = ann.post(f"/judgments/{judged['judgment']}/undo/")
    assert "super-secret" not in json.dumps([lease, judged, undone])


def test_claiming_again_gives_the_same_assignment(ann: Caller, queue: Queue) -> None:
    assert claimed(ann)["assignment"] == claimed(ann)["assignment"]


def test_ahead_gives_a_second_lease_on_another_item(ann: Caller, queue: Queue) -> None:
    shown, ahead = claimed(ann), claimed(ann, ahead=True)
    assert shown["item"]["id"] != ahead["item"]["id"]
    assert claimed(ann, ahead=True)["assignment"] == ahead["assignment"]


def test_a_judgment_answers_with_the_next_item(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    status, body = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A", "strength": 2})
    assert status == 201 and body["next"]["item"]["id"] != lease["item"]["id"]
    assert claimed(ann)["assignment"] == body["next"]["assignment"]


def test_a_judgment_is_stored_by_position_not_by_side(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "B"})
    judgment = Judgment.objects.get()
    picked = judgment.item.ordered_responses()[judgment.answer["choice"]]
    assert picked.content == lease["item"]["responses"][1]["content"]


def test_with_ahead_next_is_the_lease_after_the_one_held(ann: Caller, queue: Queue) -> None:
    shown, ahead = claimed(ann), claimed(ann, ahead=True)
    _, body = ann.post(f"/assignments/{shown['assignment']}/judgment/", {"choice": "tie", "ahead": True})
    assert claimed(ann)["assignment"] == ahead["assignment"]
    assert body["next"]["item"]["id"] not in (shown["item"]["id"], ahead["item"]["id"])
    _, last = ann.post(f"/assignments/{ahead['assignment']}/judgment/", {"choice": "tie", "ahead": True})
    assert last["next"] is None, "three items: the third is shown by now and nothing comes after it"


def test_with_ahead_and_nothing_held_next_is_the_item_to_show(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    _, body = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "tie", "ahead": True})
    assert body["next"]["assignment"] == claimed(ann)["assignment"]


def test_the_last_judgment_has_no_next_and_the_claim_is_204(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    for _ in range(3):
        _, body = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "both_bad"})
        lease = body["next"]
    assert lease is None
    assert ann.post("/queues/which/claim/") == (204, None)


def test_the_same_key_and_body_count_once_and_show_the_lease_held(ann: Caller, queue: Queue) -> None:
    url = f"/assignments/{claimed(ann)['assignment']}/judgment/"
    first = ann.post(url, {"choice": "A"}, Idempotency_Key="one")
    assert ann.post(url, {"choice": "A"}, Idempotency_Key="one") == first
    assert Judgment.objects.count() == 1


def test_the_same_key_with_another_body_is_a_conflict(ann: Caller, queue: Queue) -> None:
    url = f"/assignments/{claimed(ann)['assignment']}/judgment/"
    ann.post(url, {"choice": "A"}, Idempotency_Key="one")
    status, body = ann.post(url, {"choice": "B"}, Idempotency_Key="one")
    assert (status, body["error"]["code"]) == (409, "idempotency_conflict")


def test_a_second_tab_is_told_which_judgment_stands(ann: Caller, queue: Queue) -> None:
    url = f"/assignments/{claimed(ann)['assignment']}/judgment/"
    _, first = ann.post(url, {"choice": "A"})
    status, body = ann.post(url, {"choice": "B"})
    assert (status, body["error"]["code"]) == (409, "already_judged")
    assert body["error"]["details"]["judgment"] == first["judgment"]


@pytest.mark.parametrize("judged_meanwhile", [False, True])
def test_a_seat_taken_by_someone_else_is_a_lost_lease(ann: Caller, bob: Caller, judged_meanwhile: bool) -> None:
    queue = make_queue("which", members=(ann.user, bob.user))
    make_item(queue)
    lease = claimed(ann)
    expire()
    taken = claimed(bob)
    if judged_meanwhile:
        bob.post(f"/assignments/{taken['assignment']}/judgment/", {"choice": "A"})
    status, body = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A"})
    assert (status, body["error"]["code"]) == (409, "lease_lost")


def test_a_late_answer_whose_seat_is_still_free_is_taken(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    expire()
    assert ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A"})[0] == 201


def expire() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Assignment.objects.filter(status="leased").update(expires_at=past)
    assigning.release_expired()


def test_somebody_elses_assignment_does_not_exist(ann: Caller, bob: Caller, queue: Queue) -> None:
    make_member(queue, bob.user)
    lease = claimed(ann)
    for verb in ("judgment", "skip", "heartbeat"):
        status, body = bob.post(f"/assignments/{lease['assignment']}/{verb}/", {"choice": "A"})
        assert (status, body["error"]["code"]) == (404, "not_found"), verb


def test_a_queue_one_is_no_member_of_does_not_exist(bob: Caller, queue: Queue) -> None:
    real, invented = bob.post("/queues/which/claim/"), bob.post("/queues/other/claim/")
    assert real[0] == invented[0] == 404
    assert real[1]["error"]["message"].replace("which", "other") == invented[1]["error"]["message"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "choice"), ({"choice": "C"}, "choice"), ({"choice": []}, "choice"), ({"choice": {}}, "choice"),
        ({"choice": "AB"}, "choice"), ({"choice": "A", "flags": [{}]}, "flags"),
        ({"choice": "A", "flags": "x"}, "flags"),
        ({"choice": "A", "strength": 4}, "strength"),
        ({"choice": "A", "strength": True}, "strength"), ({"choice": "A", "flags": ["no"]}, "flags"),
        ({"choice": "A", "rationale": 5}, "rationale"), ({"choice": "A", "duration_ms": 2**40}, "duration_ms"),
        ({"choice": "A", "ahead": "yes"}, "ahead"),
    ],
)  # fmt: skip
def test_a_wrong_judgment_names_the_field_and_stores_nothing(
    ann: Caller, queue: Queue, body: dict[str, Any], where: str
) -> None:
    status, answer = ann.post(f"/assignments/{claimed(ann)['assignment']}/judgment/", body)
    assert (status, answer["error"]["details"]["where"]) == (400, where)
    assert not Judgment.objects.exists()


def test_a_paused_queue_takes_the_judgment_and_offers_nothing_more(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    Queue.objects.update(status="paused")
    assert ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A"})[1]["next"] is None
    status, body = ann.post("/queues/which/claim/")
    assert (status, body["error"]["code"]) == (409, "conflict")


def test_a_skip_passes_the_item_on_and_gives_the_next(ann: Caller, bob: Caller, queue: Queue) -> None:
    make_member(queue, bob.user)
    lease = claimed(ann)
    status, body = ann.post(f"/assignments/{lease['assignment']}/skip/", {"reason": "too long"})
    assert status == 200 and body["next"]["item"]["id"] != lease["item"]["id"]
    assert claimed(bob)["item"]["id"] == lease["item"]["id"]
    assert Assignment.objects.get(pk=lease["assignment"]).skip_reason == "too long"


def test_a_heartbeat_renews_both_leases(ann: Caller, queue: Queue) -> None:
    shown, ahead = claimed(ann), claimed(ann, ahead=True)
    soon = timezone.now() + timedelta(seconds=5)
    Assignment.objects.update(expires_at=soon)
    status, _ = ann.post(f"/assignments/{shown['assignment']}/heartbeat/", {})
    renewed = Assignment.objects.filter(pk__in=[shown["assignment"], ahead["assignment"]], expires_at__gt=soon)
    assert status == 200 and renewed.count() == 2


def test_an_undo_gives_the_same_item_back(ann: Caller, queue: Queue) -> None:
    lease = claimed(ann)
    _, judged = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A"})
    status, body = ann.post(f"/judgments/{judged['judgment']}/undo/")
    assert status == 200
    assert body["next"]["assignment"] == lease["assignment"] == claimed(ann)["assignment"]
    again = ann.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "B"})
    assert again[0] == 201 and Judgment.objects.filter(withdrawn_at__isnull=True).count() == 1


def test_somebody_elses_judgment_cannot_be_undone(ann: Caller, bob: Caller, queue: Queue) -> None:
    _, judged = ann.post(f"/assignments/{claimed(ann)['assignment']}/judgment/", {"choice": "A"})
    assert bob.post(f"/judgments/{judged['judgment']}/undo/")[0] == 404


@pytest.mark.parametrize(
    ("kind", "texts", "body", "stored"),
    [
        ("ranking", ("x", "y"), {"ranking": [["A", "B"]]}, {"ranking": [[0, 1]]}),
        ("rating", ("x",), {"ratings": {"quality": 5}}, {"ratings": [{"quality": 5}], "scores": [1.0]}),
        ("thumbs", ("x",), {"thumb": "down"}, {"thumb": "down"}),
        ("edit", ("x",), {"content": "y"}, {"edited": True}),
    ],
)
def test_every_kind_is_claimed_and_judged(ann: Caller, kind: str, texts: Any, body: Any, stored: Any) -> None:
    queue = make_queue("which", kind=kind, members=(ann.user,))
    make_item(queue, texts=texts)
    lease = claimed(ann)
    assert lease["item"]["kind"] == kind and len(lease["item"]["responses"]) == len(texts)
    assert ("attributes" in lease["item"]) == (kind == "rating")
    status, answer = ann.post(f"/assignments/{lease['assignment']}/judgment/", body)
    assert status == 201, answer
    assert Judgment.objects.get().answer == stored


def test_items_of_a_wrong_size_are_refused(engineer: Caller, admin: Caller, ann: Caller) -> None:
    make_queue("one-only", kind="thumbs", members=(ann.user,))
    item = make_item(make_queue())
    row = {"prompt": item.prompt.key, "responses": [r.key for r in item.ordered_responses()]}
    status, body = admin.post("/queues/one-only/items/", [row])
    assert status == 400 and "1 responses an item, not 2" in body["error"]["message"]
