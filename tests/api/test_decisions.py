"""A program puts a policy to the vote, reads the verdict, overrides or stops it."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.models import Policy, Queue, User
from rlhf import deployments, gates
from rlhf.models import Decision
from tests.api.conftest import Caller
from tests.factories import make_policy, make_prompt, make_queue, make_response, make_user
from tests.factories_rlhf import vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def voter() -> User:
    return make_user("val")


@pytest.fixture
def world(voter: User) -> dict[str, Any]:
    """Two policies that have answered 30 gate prompts; one of them is live."""
    live, candidate = make_policy("old"), make_policy("new")
    for n in range(30):
        prompt = make_prompt(split="gate")
        make_response(prompt, f"old says {n}", policy=live)
        make_response(prompt, f"new says {n}", policy=candidate)
    deployments.promote(policy=live, alias="production")
    return {"candidate": "new", "queue": make_queue("labels", members=(voter,)).slug, "rule": {"limit": 30}}


def test_a_candidate_is_put_to_the_vote_with_rule_and_guardrails_on_record(
    engineer: Caller, world: dict[str, Any]
) -> None:
    status, body = engineer.post("/decisions/", {**world, "guardrails": {"length": 1.5}, "alternatives": 2})
    assert status == 201 and body["status"] == "voting" and body["candidate"] == "new" and body["live"] == "old"
    assert body["rule"]["alpha"] == 0.025 and body["rule"]["limit"] == 30
    margins = {row["name"]: (row["margin"], row["power"]) for row in body["guardrails"]}
    assert margins["length"][0] == 1.5 and all(0 <= power <= 1 for _, power in margins.values())
    assert engineer.get(f"/decisions/{body['id']}/")[1] == body


def test_the_verdict_is_read_with_every_vote(engineer: Caller, world: dict[str, Any], voter: User) -> None:
    id = engineer.post("/decisions/", world)[1]["id"]
    queue = Queue.objects.get(purpose="gate")
    for _ in range(11):
        vote(queue, voter, 1)
    gates.consume(decision=Decision.objects.get(pk=id))
    body = engineer.get(f"/decisions/{id}/")[1]
    assert body["status"] == "refused" and len(body["figures"]["votes"]) == 11
    assert body["sentence"].startswith("Not promoted: 0 of 11 votes")
    status, body = engineer.post(f"/decisions/{id}/override/", {"reason": "The old one leaks names."})
    assert status == 200 and body["status"] == "promoted" and body["override_reason"] == "The old one leaks names."
    assert deployments.live("production") == Policy.objects.get(slug="new")


def test_a_vote_can_be_stopped(engineer: Caller, world: dict[str, Any]) -> None:
    id = engineer.post("/decisions/", world)[1]["id"]
    status, body = engineer.post(f"/decisions/{id}/abandon/", {"reason": "wrong candidate"})
    assert status == 200 and body["status"] == "abandoned" and body["note"] == "wrong candidate"
    assert engineer.post(f"/decisions/{id}/abandon/", {"reason": "again"})[0] == 409


def test_the_same_question_twice_is_a_conflict(engineer: Caller, world: dict[str, Any]) -> None:
    engineer.post("/decisions/", world)
    status, body = engineer.post("/decisions/", world)
    assert status == 409 and "already" in body["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "names"),
    [
        ({"candidate": "nobody"}, 404, "candidate"),
        ({"queue": "nowhere"}, 404, "nowhere"),
        ({"reward_model": "none"}, 404, "reward_model"),
        ({"candidate": "old"}, 409, "live under production"),
        ({"alias": "nothing"}, 409, "Nothing is live"),
        ({"rule": {"name": "peek"}}, 400, "gate"),
        ({"rule": {"limit": 2.5}}, 400, "limit"),
        ({"rule": {"alpha": "x"}}, 400, "gate"),
        ({"guardrails": {"charm": 1}}, 400, "charm"),
        ({"alternatives": 0}, 400, "alternatives"),
        ({"prompt_filter": {"a__b": 1}}, 400, "prompt_filter"),
        ({"prompt_filter": {"workspace": "empty"}}, 409, "Only 0 fresh gate prompts"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_opened(
    engineer: Caller, world: dict[str, Any], change: dict[str, Any], status: int, names: str
) -> None:
    got, body = engineer.post("/decisions/", {**world, **change})
    assert (got, names in str(body["error"])) == (status, True), body
    assert not Decision.objects.exists()
