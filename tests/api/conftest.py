"""Callers of the API by role, each with a token of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from api import tokens
from feedback.models import User
from tests.factories import make_item, make_queue, make_user


class Caller:
    """A program with a token: `post("/prompts/", body)` gives (status, answer)."""

    def __init__(self, user: User | None, **headers: str) -> None:
        self.user = user
        self.headers = dict(headers)
        if user is not None:
            self.headers["Authorization"] = f"Bearer {tokens.create(user=user)[1]}"
        self.client = Client()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = path if path.startswith("/api") else f"/api/v1{path}"
        return self.client.generic(method, url, data, content_type="application/json", headers=sent)

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return read(self.call("GET", path, **headers))

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return read(self.call("POST", path, body, **headers))

    def patch(self, path: str, body: Any = None) -> tuple[int, Any]:
        return read(self.call("PATCH", path, body))


def read(response: Any) -> tuple[int, Any]:
    return response.status_code, json.loads(response.content) if response.content else None


@pytest.fixture
def admin(db: None) -> Caller:
    return Caller(make_user("ada", role="admin"))


@pytest.fixture
def engineer(db: None) -> Caller:
    return Caller(make_user("eve", role="engineer"))


@pytest.fixture
def ann(db: None) -> Caller:
    return Caller(make_user("ann"))


@pytest.fixture
def bob(db: None) -> Caller:
    return Caller(make_user("bob"))


@pytest.fixture
def queue(ann: Caller) -> Any:
    """An open queue with three items; ann is a member."""
    queue = make_queue("which", members=(ann.user,))
    for _ in range(3):
        make_item(queue)
    return queue
