"""Tokens and sessions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from api import tokens
from api.models import Token
from feedback.models import Event
from tests.api.conftest import Caller
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_without_a_token_one_is_not_signed_in() -> None:
    status, body = Caller(None).get("/queues/")
    assert (status, body["error"]["code"]) == (401, "not_signed_in")


def test_401_names_the_scheme() -> None:
    assert Caller(None).call("GET", "/queues/")["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer pl_unknown", "Bearer \xff", "Basic YTpi"])
def test_a_token_that_is_not_one_is_401(header: str) -> None:
    assert Caller(None, Authorization=header).get("/queues/")[0] == 401


def test_a_token_is_stored_as_a_hash_alone() -> None:
    row, secret = tokens.create(user=make_user())
    assert secret.startswith("pl_") and len(secret) > 40
    assert secret not in str(list(Token.objects.values())) and secret not in str(list(Event.objects.values()))
    assert secret.startswith(row.hint)


@pytest.mark.parametrize("end", ["revoked", "expired", "user inactive"])
def test_a_token_that_has_ended_is_401(ann: Caller, end: str) -> None:
    row = Token.objects.get()
    assert ann.get("/queues/")[0] == 200
    if end == "revoked":
        assert tokens.revoke(row=row) and not tokens.revoke(row=row)
    elif end == "expired":
        Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        type(row.user).objects.update(is_active=False)
    assert ann.get("/queues/")[0] == 401


def test_last_use_is_noted_at_most_once_a_minute(ann: Caller) -> None:
    ann.get("/queues/")
    first = Token.objects.get().last_used_at
    ann.get("/queues/")
    assert first is not None and Token.objects.get().last_used_at == first
    Token.objects.update(last_used_at=first - timedelta(seconds=61))
    ann.get("/queues/")
    assert Token.objects.get().last_used_at >= first


def test_a_session_works_and_needs_the_csrf_token_to_write(ann: Caller) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann.user)
    assert client.get("/api/v1/queues/").status_code == 200
    refused = client.post("/api/v1/queues/which/claim/", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")


def test_a_program_with_a_token_needs_no_csrf_token(ann: Caller) -> None:
    ann.client = Client(enforce_csrf_checks=True)
    assert ann.post("/queues/none/claim/")[0] == 404
