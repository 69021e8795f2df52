"""Prompts, policies and responses over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.models import Policy, Prompt, Response
from tests.api.conftest import Caller
from tests.factories_rlhf import make_deployment

pytestmark = [pytest.mark.django_db, pytest.mark.database]

POLICY = {"slug": "gpt", "kind": "external", "system_prompt": "Be brief.", "decoding": {"temperature": 0.5}}


def prompt(text: str = "Why?", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_the_same_prompt_twice_is_one(engineer: Caller) -> None:
    status, body = engineer.post("/prompts/", [prompt("One"), prompt("Two"), prompt("One")])
    assert status == 201 and (body["created"], body["existing"]) == (2, 1)
    assert body["ids"][0] == body["ids"][2] != body["ids"][1]
    assert engineer.post("/prompts/", [prompt("One")])[1] == {"created": 0, "existing": 1, "ids": body["ids"][:1]}


def test_one_bad_prompt_of_many_stores_none(engineer: Caller) -> None:
    status, body = engineer.post("/prompts/", [prompt("One"), prompt("Two", split="test")])
    assert (status, body["error"]["details"]["where"]) == (400, "[1].split")
    assert not Prompt.objects.exists()


def test_a_group_keeps_its_split(engineer: Caller) -> None:
    engineer.post("/prompts/", [prompt("One", group="g", split="dev")])
    status, body = engineer.post("/prompts/", [prompt("Two", group="g", split="gate")])
    assert (status, body["error"]["code"]) == (409, "conflict")


def test_the_same_policy_is_200_and_another_body_409(engineer: Caller) -> None:
    assert engineer.post("/policies/", POLICY)[0] == 201
    assert engineer.post("/policies/", POLICY)[0] == 200
    status, body = engineer.post("/policies/", {**POLICY, "system_prompt": "Be long."})
    assert (status, body["error"]["code"]) == (409, "conflict")
    assert Policy.objects.get().system_prompt == "Be brief."


def test_a_policy_comes_back_as_it_was_sent(engineer: Caller) -> None:
    engineer.post("/policies/", POLICY)
    listed = engineer.get("/policies/")[1]["results"][0]
    assert {name: listed[name] for name in POLICY} == POLICY


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"slug": "no spaces"}, 400), ({"kind": "mystery"}, 400), ({"surprise": 1}, 400), ({"kind": "local"}, 404),
        ({"kind": "local", "base": "/etc/passwd"}, 404), ({"kind": "local", "adapter": "../../etc"}, 400),
        ({"decoding": []}, 400), ({"system_prompt": 5}, 400),
    ],
)  # fmt: skip
def test_a_policy_names_what_exists_and_nothing_else(engineer: Caller, change: dict[str, Any], status: int) -> None:
    assert engineer.post("/policies/", {**POLICY, **change})[0] == status
    assert not Policy.objects.exists()


def test_a_policy_cannot_take_the_name_of_an_alias(engineer: Caller) -> None:
    make_deployment(alias="production")
    assert engineer.post("/policies/", {**POLICY, "slug": "production"})[0] == 409


def test_an_unknown_reference_is_404_with_its_index(engineer: Caller) -> None:
    engineer.post("/policies/", POLICY)
    known = engineer.post("/prompts/", [prompt()])[1]["ids"][0]
    good = {"prompt": known, "policy": "gpt", "content": "Because."}
    for name, value in (("prompt", "f" * 64), ("policy", "claude"), ("prompt", {}), ("policy", None)):
        status, body = engineer.post("/responses/", [good, {**good, name: value}])
        assert (status, body["error"]["details"]["where"]) == (404, f"[1].{name}")
    assert not Response.objects.exists()


@pytest.mark.parametrize(
    "field", [{"content": ""}, {"content": 5}, {"draw": -1}, {"draw": "1"}, {"prompt_tokens": "x"}]
)
def test_a_bad_response_names_its_field(engineer: Caller, field: dict[str, Any]) -> None:
    engineer.post("/policies/", POLICY)
    known = engineer.post("/prompts/", [prompt()])[1]["ids"][0]
    status, body = engineer.post("/responses/", [{"prompt": known, "policy": "gpt", "content": "x", **field}])
    assert (status, body["error"]["details"]["where"]) == (400, f"[0].{next(iter(field))}")


def test_a_list_is_paged_newest_first(engineer: Caller) -> None:
    for n in range(5):
        engineer.post("/policies/", {"slug": f"p{n}", "kind": "external"})
    seen, url = [], "/api/v1/policies/?page_size=2"
    while url:
        _, page = engineer.get(url.replace("http://testserver", ""))
        assert set(page) == {"next", "previous", "results"} and len(page["results"]) <= 2
        seen += [row["slug"] for row in page["results"]]
        url = page["next"]
    assert seen == ["p4", "p3", "p2", "p1", "p0"]


def test_a_cursor_that_is_none_is_404(engineer: Caller) -> None:
    assert engineer.get("/policies/?cursor=nonsense!")[0] == 404
