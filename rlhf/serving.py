"""A model's door: whoever needs answers or scores at once asks `ensure` for a client.

The web process loads no model. `ensure` notes in the model's row that it is wanted and answers with a client when it
is in memory, else with Unavailable: come back in a moment. A keeper (`keeping`) starts and stops what rows want.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
from django.utils import timezone

from feedback.errors import BadInput, Conflict, StaleTransition, Unavailable
from feedback.lifecycle import advance
from feedback.models import Policy

from .models import EngineServer, RewardModel

FRESH = timedelta(seconds=20)  # a heartbeat older than this belongs to a dead keeper
TOUCH = timedelta(seconds=5)  # between two notes that a model is in use
TRY_AGAIN = timedelta(seconds=30)  # before a model that failed to load is tried once more
RETRY_AFTER = 5
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 600.0  # a long answer of a slow machine


class Client:
    """One model's door. Errors are ours: BadInput for the caller's words, Unavailable when the model has gone."""

    def __init__(self, http: httpx.Client, model: str) -> None:
        self.http, self.model = http, model

    @classmethod
    def of_socket(cls, path: str, model: str) -> Client:
        """The door of a resident engine on this machine."""
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        return cls(
            httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://engine", timeout=timeout), model
        )

    def chat(self, *, messages: list[dict[str, str]], **options: Any) -> dict[str, Any]:
        """A chat completion as OpenAI shapes it. Options: temperature, top_p, max_tokens, seed."""
        return self._post("/v1/chat/completions", {"model": self.model, "messages": messages, **options})

    def stream(self, *, messages: list[dict[str, str]], **options: Any) -> Iterator[dict[str, Any]]:
        """The chunks of a streamed completion. Closing the iterator stops the answer."""
        body = {"model": self.model, "messages": messages, "stream": True, **options}
        with self._reaching(), self.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code >= 400:
                answer.read()
                _raise(answer)
            for line in answer.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    yield json.loads(line[6:])

    def score(self, items: list[dict[str, Any]]) -> list[dict[str, float]]:
        """[{"messages", "content"}] -> [{"mean", "sd"}], in the same order."""
        scores: list[dict[str, float]] = self._post("/score", {"items": items})["scores"]
        return scores

    def features(self, items: list[dict[str, Any]]) -> list[list[float]]:
        """[{"messages", "content"}] -> a vector each."""
        vectors: list[list[float]] = self._post("/features", {"items": items})["features"]
        return vectors

    def cancel(self, key: str) -> bool:
        """Stop the answer with this id; whether it was still being drawn."""
        return bool(self._post("/cancel", {"id": key})["cancelled"])

    def health(self) -> dict[str, Any]:
        """{"status", "active", "idle_seconds"}; Unavailable when nobody answers."""
        with self._reaching():
            found: dict[str, Any] = self.http.get("/healthz", timeout=2.0).json()
        return found

    def close(self) -> None:
        self.http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *gone: object) -> None:
        self.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._reaching():
            answer = self.http.post(path, json=body)
        if answer.status_code >= 400:
            _raise(answer)
        found: dict[str, Any] = answer.json()
        return found

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, ValueError) as gone:
            raise Unavailable(
                f"The engine of {self.model} has gone; it is being started again.", retry_after=2
            ) from gone


def _raise(answer: httpx.Response) -> None:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The engine answered {answer.status_code}."
    raise (Unavailable if answer.status_code >= 500 else BadInput)(message)


def ensure(*, policy: Policy | None = None, reward_model: RewardModel | None = None) -> Client:
    """A client of the model, when it is in memory; else it is wanted from now on, and Unavailable says for how long.

    Conflict when it cannot be loaded at all, with the reason.
    """
    server = wanted(policy=policy, reward_model=reward_model)
    if server.status == "ready":
        return Client.of_socket(server.socket, server.name)
    if server.status == "failed":
        raise Conflict(f"{server.name} cannot be loaded: {server.note}")
    note = f" ({server.note})" if server.note else ""
    raise Unavailable(f"{server.name} is being loaded{note}; ask again in a moment.", retry_after=RETRY_AFTER)


def wanted(*, policy: Policy | None = None, reward_model: RewardModel | None = None) -> EngineServer:
    """The model's row, noted as in use now and woken if it sleeps."""
    name = f"policy:{policy.slug}" if policy else f"reward:{reward_model.slug}" if reward_model else ""
    assert name, "name a policy or a reward model"
    now = timezone.now()
    new = {"policy": policy, "reward_model": reward_model, "wanted_at": now}
    server, _ = EngineServer.objects.get_or_create(name=name, defaults=new)
    lost = server.status in ("ready", "starting") and (server.heartbeat_at is None or now - server.heartbeat_at > FRESH)
    stale_failure = server.status == "failed" and now - server.wanted_at > TRY_AGAIN
    try:
        if server.status == "idle" or lost or stale_failure:
            advance(server, "wanted", wanted_at=now, note="")
        elif server.status != "failed" and now - server.wanted_at > TOUCH:
            EngineServer.objects.filter(pk=server.pk).update(wanted_at=now)
    except StaleTransition:
        server.refresh_from_db()
    return server
