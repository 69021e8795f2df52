"""Simulated people as HTTP clients: blind, patient, reproducible."""

from __future__ import annotations

import json

import httpx
import pytest

from feedback import simulated_people
from feedback.simulated_people import Budget, GaveUp, Habits, Person, Work, work

PROMPT = "Thank Maria for the book."
GOOD, RUDE = "Thank you for the book, Maria. It made my day.", "No. Go away."


def lease(number: int, left: str = GOOD, right: str = RUDE) -> dict:
    responses = [{"slot": "A", "content": left}, {"slot": "B", "content": right}]
    messages = {"messages": [{"role": "user", "content": PROMPT}]}
    item = {"id": f"item-{number}", "kind": "comparison", "prompt": messages, "responses": responses}
    return {"assignment": f"a{number}", "expires_at": "", "item": item}


def person(handler, **habits) -> Person:
    made = Person("sim-01", "pl_x", "http://test", Habits("polite_tiny", **habits), Work())
    made.http = httpx.Client(base_url="http://test/api/v1/", transport=httpx.MockTransport(handler))
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(simulated_people.time, "sleep", lambda seconds: None)


def test_a_submission_lost_on_the_way_is_sent_again_under_the_same_key():
    keys = []

    def handler(request):
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx.ConnectError("down", request=request)
        if len(keys) == 2:
            return httpx.Response(503)
        return httpx.Response(201, json={"judgment": "j", "next": None})

    one = person(handler)
    assert one.judge(lease(1)) == (True, None)
    assert len(keys) == 3 and len(set(keys)) == 1
    assert (one.work.judgments, one.work.resent) == (1, 2)


def test_every_submission_has_a_key_of_its_own():
    keys = []

    def handler(request):
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(201, json={"judgment": "j", "next": None})

    one = person(handler)
    one.judge(lease(1))
    one.judge(lease(1))
    assert len(set(keys)) == 2


def test_a_lost_lease_is_counted_and_no_judgment():
    one = person(lambda request: httpx.Response(409, json={"error": {"code": "lease_lost"}}))
    assert one.judge(lease(1)) == (False, None)
    assert (one.work.judgments, one.work.refused) == (0, 1)


def test_a_refused_token_ends_the_work_with_the_reason():
    one = person(lambda request: httpx.Response(401, text="no such token"))
    with pytest.raises(GaveUp, match="401 no such token"):
        one.claim("q")


def test_a_server_gone_for_long_ends_the_work(monkeypatch):
    def handler(request):
        raise httpx.ConnectError("down", request=request)

    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(simulated_people.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(GaveUp, match="cannot be reached"):
        person(handler).claim("q")


def test_nothing_left_is_no_lease():
    assert person(lambda request: httpx.Response(204)).claim("q") is None


def test_the_vote_follows_the_hidden_reward_and_not_the_side():
    one = person(lambda request: httpx.Response(204), noise=0.0, side=0.0)
    straight = [one.choose(lease(n)["item"]) for n in range(60)]
    swapped = [one.choose(lease(n, RUDE, GOOD)["item"]) for n in range(60)]
    assert straight.count("A") > 50
    assert swapped.count("B") > 50


def test_a_vote_depends_on_seed_person_and_item_alone():
    one, two = (person(lambda request: httpx.Response(204), noise=0.4) for _ in range(2))
    forwards = {n: one.choose(lease(n)["item"]) for n in range(30)}
    backwards = {n: two.choose(lease(n)["item"]) for n in reversed(range(30))}
    assert forwards == backwards
    assert len(set(forwards.values())) > 1


def test_habits_differ_between_people():
    biases = {Person(f"sim-{n}", "t", "http://test", Habits("polite_tiny"), Work()).left_bias for n in range(5)}
    assert len(biases) == 5


def test_the_budget_is_shared_and_what_was_refused_may_be_spent_again():
    budget = Budget(2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.give_back()
    assert [budget.take() for _ in range(2)] == [True, False]


def test_an_unknown_reward_lists_what_exists():
    with pytest.raises(GaveUp, match="polite_tiny"):
        work(url="http://test", tokens={}, queue="q", habits=Habits("nothing"))


def test_the_body_says_the_choice_and_how_long_it_took():
    bodies = []

    def handler(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json={"judgment": "j", "next": None})

    person(handler, pace=2.0).judge(lease(1))
    assert set(bodies[0]) == {"choice", "duration_ms"}
    assert bodies[0]["duration_ms"] > 0
