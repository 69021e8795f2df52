"""Bodies and errors: what is refused, and how it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from api.views.content import Prompts
from feedback.models import Prompt
from tests.api.conftest import Caller, read

pytestmark = pytest.mark.django_db


def error(answer: tuple[int, Any]) -> tuple[int, str, dict[str, Any]]:
    status, body = answer
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "details"}
    return status, body["error"]["code"], body["error"]["details"]


def user_turn(text: Any) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": text}]}]


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udfff x"])
def test_nul_and_lone_surrogates_are_refused_by_their_path(engineer: Caller, escape: str) -> None:
    body = json.dumps([user_turn("fine")[0], user_turn("TEXT")[0]]).replace("TEXT", escape).encode()
    status, code, details = error(engineer.post("/prompts/", body))
    assert (status, code, details["where"]) == (400, "bad_input", "[1].messages[0].content")
    assert not Prompt.objects.exists()


def test_a_pair_of_surrogates_is_a_character(engineer: Caller) -> None:
    body = json.dumps(user_turn("\N{GRINNING FACE}")).encode()
    assert b"\\ud83d" in body
    assert engineer.post("/prompts/", body)[0] == 201
    assert Prompt.objects.get().last_turn == "\N{GRINNING FACE}"


def test_text_is_checked_wherever_it_is(engineer: Caller) -> None:
    row = {**user_turn("x")[0], "metadata": {"deep": [{"er": "\0"}]}}
    assert error(engineer.post("/prompts/", [row]))[2]["where"] == "[0].metadata.deep[0].er"


@pytest.mark.parametrize(
    "body", [b"{", b"", b'"\xff"', b"NaN", b"[1e999]", b"[" * 2000 + b"]" * 2000, b'{"a":' * 90 + b"1" + b"}" * 90]
)
def test_what_is_not_json_is_told_in_one_sentence(engineer: Caller, body: bytes) -> None:
    status, code, _ = error(engineer.post("/prompts/", body))
    assert (status, code) == (400, "bad_input")


@pytest.mark.parametrize("body", [{}, "text", 5, None, True])
def test_a_bulk_call_takes_a_list(engineer: Caller, body: Any) -> None:
    assert error(engineer.post("/prompts/", json.dumps(body).encode()))[:2] == (400, "bad_input")


@pytest.mark.parametrize("body", [[], "text", 5])
def test_a_single_call_takes_an_object(admin: Caller, body: Any) -> None:
    assert error(admin.post("/queues/", json.dumps(body).encode()))[:2] == (400, "bad_input")


def test_a_thousand_objects_are_taken_and_one_more_is_too_large(engineer: Caller) -> None:
    rows = [user_turn(f"number {n}")[0] for n in range(1001)]
    assert error(engineer.post("/prompts/", rows))[:2] == (413, "too_large")
    assert not Prompt.objects.exists()
    assert engineer.post("/prompts/", rows[:1000])[1]["created"] == 1000


def test_a_body_over_the_limit_is_413_before_it_is_read(engineer: Caller, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    status, code, details = error(engineer.post("/prompts/", user_turn("x" * 200)))
    assert (status, code, details["limit"]) == (413, "too_large", 100)


def test_the_same_holds_for_a_form_sent_with_a_session(ann: Caller, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann.user)
    answer = client.post("/api/v1/queues/", "x=" + "y" * 200, content_type="application/x-www-form-urlencoded")
    assert answer.status_code in (403, 413) and "error" in answer.json()


def test_another_media_type_is_415(engineer: Caller) -> None:
    answer = engineer.client.post("/api/v1/prompts/", "x=1", "text/plain", headers=engineer.headers)
    assert error(read(answer))[:2] == (415, "unsupported_media_type")


def test_json_is_the_answer_whatever_is_accepted(engineer: Caller) -> None:
    assert engineer.get("/policies/", Accept="text/html")[0] == 200


def test_a_method_that_is_not_there_is_405(engineer: Caller) -> None:
    assert error(read(engineer.call("DELETE", "/policies/")))[:2] == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/nothing/", "/prompts", "/datasets/not-a-uuid/"])
def test_an_unknown_address_is_json_too(engineer: Caller, path: str) -> None:
    for method in ("GET", "POST"):
        assert error(read(engineer.call(method, path)))[:2] == (404, "not_found")


def test_a_missing_slash_is_pointed_out(engineer: Caller) -> None:
    assert "end in a slash" in engineer.post("/prompts", [])[1]["error"]["message"]


def test_a_database_that_does_not_answer_is_503_and_a_retry_helps(
    engineer: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Any, request: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(Prompts, "post", busy)
    answer = engineer.call("POST", "/prompts/", [])
    status, code, details = error(read(answer))
    assert (status, code, details["retry"]) == (503, "unavailable", True) and answer["Retry-After"]


def test_what_nobody_foresaw_is_a_plain_500(engineer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, request: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Prompts, "post", broken)
    answer = engineer.post("/prompts/", [])
    assert error(answer)[:2] == (500, "internal") and "secret" not in json.dumps(answer[1])


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64 - 1, 10**30])
def test_a_number_no_column_holds_is_refused(engineer: Caller, number: int) -> None:
    engineer.post("/policies/", {"slug": "p", "kind": "external"})
    prompt = engineer.post("/prompts/", user_turn("x"))[1]["ids"][0]
    row = {"prompt": prompt, "policy": "p", "content": "y", "draw": number}
    assert error(engineer.post("/responses/", [row]))[0] == 400
