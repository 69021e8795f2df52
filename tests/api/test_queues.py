"""Queues, members, items and figures over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.models import Event, Item, Membership, Queue, Seat
from tests.api.conftest import Caller
from tests.factories import make_item, make_prompt, make_queue, make_response, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.database]

QUEUE = {"slug": "q", "title": "Which is better?", "overlap": 2, "status": "open"}


def test_the_same_queue_is_200_and_another_body_409(admin: Caller) -> None:
    assert admin.post("/queues/", QUEUE)[0] == 201
    assert admin.post("/queues/", QUEUE)[0] == 200
    status, body = admin.post("/queues/", {**QUEUE, "overlap": 3})
    assert (status, body["error"]["code"]) == (409, "conflict")
    assert Queue.objects.get().overlap == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("overlap", 0), ("overlap", 51), ("overlap", "many"), ("lease_seconds", 1), ("gold_rate", 1.5),
        ("control_rate", -0.1), ("status", "lost"), ("kind", "haiku"), ("slug", "with space"), ("title", ""),
        ("colour", "red"),
    ],
)  # fmt: skip
def test_a_field_out_of_range_is_named(admin: Caller, field: str, value: Any) -> None:
    status, body = admin.post("/queues/", {**QUEUE, field: value})
    assert (status, body["error"]["details"]["where"]) == (400, field)
    assert not Queue.objects.exists()


def test_an_unknown_kind_is_refused(admin: Caller) -> None:
    assert admin.post("/queues/", {**QUEUE, "kind": "guess"})[0] == 400


def test_a_bad_rubric_names_the_place(admin: Caller) -> None:
    status, body = admin.post("/queues/", {**QUEUE, "rubric": {"attributes": [{"name": "a", "points": 99}]}})
    assert status == 400 and body["error"]["details"]["where"] == "rubric.attributes[0].points"


def test_a_change_of_guidelines_is_a_new_version(admin: Caller) -> None:
    admin.post("/queues/", QUEUE)
    _, body = admin.patch("/queues/q/", {"guidelines": "Prefer the kinder answer."})
    assert body["guidelines_version"] == 2
    assert admin.patch("/queues/q/", {"title": "Another"})[1]["guidelines_version"] == 2
    event = Event.objects.filter(verb="queue.changed").earliest("pk")
    assert event.after == {"guidelines": "Prefer the kinder answer."} and event.before == {"guidelines": ""}


def test_a_status_moves_along_its_edges_alone(admin: Caller) -> None:
    admin.post("/queues/", {**QUEUE, "status": "draft"})
    assert admin.patch("/queues/q/", {"status": "paused"})[0] == 409
    assert admin.patch("/queues/q/", {"status": "open"})[1]["status"] == "open"


def test_the_kind_of_a_queue_stays(admin: Caller) -> None:
    admin.post("/queues/", QUEUE)
    assert admin.patch("/queues/q/", {"kind": "rating"})[0] == 409


def test_a_refused_change_changes_nothing(admin: Caller) -> None:
    admin.post("/queues/", QUEUE)
    assert admin.patch("/queues/q/", {"title": "New", "status": "draft"})[0] == 409
    assert Queue.objects.get().title == QUEUE["title"]


def test_a_raised_overlap_adds_seats_and_opens_settled_items(admin: Caller) -> None:
    queue = make_queue("q")
    item, gold = make_item(queue), make_item(queue, gold={"choice": "A"})
    Item.objects.update(status="settled")
    admin.patch("/queues/q/", {"overlap": 3})
    assert Seat.objects.filter(item=item).count() == 3 and not Seat.objects.filter(item=gold).exists()
    assert Item.objects.get(pk=item.pk).status == "open"
    admin.patch("/queues/q/", {"overlap": 2})
    assert Seat.objects.filter(item=item).count() == 3, "a lowered overlap concerns new items"


def test_a_member_is_let_in_once_and_may_change_role(admin: Caller) -> None:
    make_queue("q"), make_user("ann")
    assert admin.post("/queues/q/members/", {"username": "ann"})[0] == 201
    assert admin.post("/queues/q/members/", {"username": "ann", "role": "manager"})[0] == 200
    assert Membership.objects.get().role == "manager"
    assert admin.post("/queues/q/members/", {"username": "nobody"})[0] == 404


def item_row(split: str = "train") -> dict[str, Any]:
    prompt = make_prompt(split=split)
    return {"prompt": prompt.key, "responses": [make_response(prompt).key, make_response(prompt).key]}


def test_items_come_in_with_their_seats_and_once(admin: Caller) -> None:
    admin.post("/queues/", QUEUE)
    rows = [item_row(), {**item_row(), "priority": 5}]
    status, body = admin.post("/queues/q/items/", rows)
    assert (status, body["created"], body["existing"]) == (201, 2, 0)
    assert Seat.objects.count() == 4
    assert admin.post("/queues/q/items/", rows)[1] == {"created": 0, "existing": 2, "ids": body["ids"]}


def test_a_higher_priority_is_asked_first(admin: Caller, ann: Caller) -> None:
    make_queue("q", members=(ann.user,))
    ids = admin.post("/queues/q/items/", [item_row(), {**item_row(), "priority": 5}])[1]["ids"]
    assert ann.post("/queues/q/claim/")[1]["item"]["id"] == ids[1]


def test_a_bad_item_names_its_index_and_stores_nothing(admin: Caller) -> None:
    make_queue("q")
    good, other = item_row(), item_row()
    bad: list[tuple[dict[str, Any], int, str]] = [
        ({**good, "prompt": "f" * 64}, 404, "[1].prompt"),
        ({**good, "responses": [good["responses"][0], "nope"]}, 404, "[1].responses[1]"),
        ({**good, "responses": good["responses"][:1]}, 400, "[1]"),
        ({**good, "responses": other["responses"]}, 400, "[1]"),
        ({**good, "responses": [good["responses"][0]] * 2}, 400, "[1]"),
        ({**good, "priority": "high"}, 400, "[1].priority"),
        ({**good, "gold": {"choice": "C"}}, 400, "[1].gold"),
        ({**good, "prise": 1}, 400, "[1].prise"),
        (item_row("gate"), 409, "[1]"),
    ]
    for row, status, where in bad:
        answer = admin.post("/queues/q/items/", [other, row])
        assert answer[0] == status, answer
        assert answer[1]["error"]["details"]["where"].startswith(where)
    assert not Item.objects.exists()


def test_figures_count_what_stands_and_leave_open_what_is_undefined(admin: Caller, ann: Caller, bob: Caller) -> None:
    queue = make_queue("q", members=(ann.user, bob.user), overlap=2)
    make_item(queue), make_item(queue)
    _, before = admin.get("/queues/q/stats/")
    assert before["judgments"] == 0 and before["items"] == {"open": 2}
    assert before["judgments_per_hour"] is None and before["agreement"]["alpha"] is None
    assert before["left_pick_rate"]["value"] is None and before["gold_accuracy"]["value"] is None

    for caller in (ann, bob):
        lease = caller.post("/queues/q/claim/")[1]
        caller.post(f"/assignments/{lease['assignment']}/judgment/", {"choice": "A", "duration_ms": 4000})
    _, after = admin.get("/queues/q/stats/")
    assert after["judgments"] == 2 and after["judgments_per_hour"] is not None
    assert after["left_pick_rate"]["value"] == 1 and after["left_pick_rate"]["n"] == 2
    assert after["agreement"]["n"] == 1 and after["agreement"]["raw"] == 0, "left of opposite orders"
    assert [(row["username"], row["judgments"], row["median_seconds"]) for row in after["annotators"]] == [
        ("ann", 1, 4.0), ("bob", 1, 4.0)
    ]  # fmt: skip
