"""Interactions over HTTP, and the page behind a feedback link."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from feedback.models import Interaction
from tests.api.conftest import Caller
from tests.factories import make_interaction, make_policy

pytestmark = pytest.mark.django_db
ROW = {"messages": [{"role": "user", "content": "Hi"}], "content": "**Hello** <script>alert(1)</script>"}


def test_a_bulk_of_answers_is_stored_when_the_call_returns(engineer: Caller) -> None:
    status, answer = engineer.post("/interactions/", [ROW, {**ROW, "consent": "train"}])
    assert (status, answer["created"]) == (202, 2)
    assert {str(pk) for pk in Interaction.objects.values_list("pk", flat=True)} == set(answer["ids"])


def test_one_answer_may_come_alone(engineer: Caller) -> None:
    assert engineer.post("/interactions/", ROW)[0] == 202


def test_more_than_a_thousand_are_too_many(engineer: Caller) -> None:
    assert engineer.post("/interactions/", [ROW] * 1001)[0] == 413
    assert not Interaction.objects.exists()


def test_the_list_is_filtered(engineer: Caller) -> None:
    make_policy("concise")
    make_interaction(policy="concise"), make_interaction(model="other", user_id="u1")
    for query, expected in (("policy=concise", 1), ("user_id=u1", 1), ("thumb=up", 0), ("", 2)):
        assert len(engineer.get(f"/interactions/?{query}")[1]["results"]) == expected


def test_feedback_by_id(engineer: Caller) -> None:
    kept = make_interaction()
    status, answer = engineer.post(f"/interactions/{kept.pk}/feedback/", {"thumb": "down", "correction": "No."})
    assert (status, answer["thumb"], answer["correction"]) == (201, "down", "No.")
    assert engineer.post(f"/interactions/{kept.pk}/feedback/", {"thumbs": "up"})[0] == 400
    assert engineer.post(f"/interactions/{kept.pk}/feedback/", {"thumb": 5})[0] == 400


def test_an_end_user_is_forgotten_over_http(engineer: Caller) -> None:
    make_interaction(user_id="u1")
    response = engineer.call("DELETE", "/interactions/?user_id=u1")
    assert (response.status_code, response.json()) == (200, {"deleted": 1})
    assert engineer.call("DELETE", "/interactions/").status_code == 400


@pytest.fixture
def link(engineer: Caller, settings: Any) -> str:
    settings.PLUMBLINE_URL = ""
    return engineer.post("/interactions/", ROW)[1]["feedback"][0]


def test_opening_a_link_records_nothing_and_the_answer_is_inert(link: str) -> None:
    page = Client().get(link)
    assert page.status_code == 200 and b"<strong>Hello</strong>" in page.content
    assert b"<script>alert" not in page.content
    assert Interaction.objects.get().thumb == ""


def test_posting_the_form_records_what_the_reader_said(link: str) -> None:
    page = Client().post(link, {"thumb": "down", "correction": "Good day."})
    assert b"Thank you" in page.content
    kept = Interaction.objects.get()
    assert (kept.thumb, kept.reactions.get().correction) == ("down", "Good day.")


def test_an_empty_form_says_so_and_keeps_nothing(link: str) -> None:
    assert Client().post(link, {}).status_code == 400
    assert Interaction.objects.get().thumb == ""


def test_a_link_that_was_changed_leads_nowhere(link: str) -> None:
    assert Client().get(link[:-3] + "aa/").status_code == 404
