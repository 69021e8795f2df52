"""A model is loaded when somebody wants it, answers several at once, and sleeps when nobody does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from feedback.errors import BadInput, Conflict, Unavailable
from feedback.models import Policy
from rlhf import serving
from rlhf.keeping import Keeper
from rlhf.models import EngineServer
from tests.factories import make_policy
from tests.factories_rlhf import make_reward_model

pytestmark = pytest.mark.django_db
HELLO = [{"role": "user", "content": "Say hello to Tom."}]


@pytest.fixture
def keeper(settings: Settings, tmp_path: Path) -> Iterator[Keeper]:
    settings.PLUMBLINE_HOME = tmp_path
    settings.PLUMBLINE_ARTIFACTS = tmp_path / "artifacts"
    keeper = Keeper()
    yield keeper
    keeper.stop()


def turn_until(keeper: Keeper, condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, list(EngineServer.objects.values())
        keeper.turn()
        time.sleep(0.1)


def status() -> str:
    return EngineServer.objects.get().status


def test_what_is_not_in_memory_is_wanted_and_the_caller_told_when_to_come_back() -> None:
    with pytest.raises(Unavailable) as told:
        serving.ensure(policy=make_policy("p", kind="local", base="tiny"))
    assert told.value.details["retry_after"] > 0
    assert EngineServer.objects.get().name == "policy:p" and status() == "wanted"


def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again_later(
    keeper: Keeper, settings: Settings, tmp_path: Path
) -> None:
    settings.PLUMBLINE_BASES = {"tiny": str(tmp_path)}
    model = make_reward_model("head")
    with pytest.raises(Unavailable):
        serving.ensure(reward_model=model)
    keeper.turn()
    assert status() == "failed"
    with pytest.raises(Conflict, match="cannot be loaded"):
        serving.ensure(reward_model=model)
    EngineServer.objects.update(wanted_at=timezone.now() - 2 * serving.TRY_AGAIN)
    with pytest.raises(Unavailable):
        serving.ensure(reward_model=model)


def test_a_row_of_a_dead_keeper_is_wanted_again_only_while_somebody_asks(keeper: Keeper) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    EngineServer.objects.create(
        name="policy:p", policy=make_policy("p", kind="local", base="tiny"), status="ready", heartbeat_at=long_ago,
        wanted_at=long_ago, socket="/nowhere",
    )  # fmt: skip
    keeper.turn()
    assert status() == "idle"
    with pytest.raises(Unavailable):
        serving.ensure(policy=Policy.objects.get(slug="p"))
    assert status() == "wanted"


@pytest.mark.slow
def test_a_policy_answers_plainly_streamed_and_together_then_rests(
    keeper: Keeper, settings: Settings, tiny_model: Path
) -> None:
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    policy = make_policy("p", kind="local", base="tiny", decoding={"max_new_tokens": 24, "temperature": 0.7})
    with pytest.raises(Unavailable):
        serving.ensure(policy=policy)
    turn_until(keeper, lambda: status() == "ready")
    client = serving.ensure(policy=policy)

    whole = client.chat(messages=HELLO, temperature=0)
    text = whole["choices"][0]["message"]["content"]
    chunks = list(client.stream(messages=HELLO, temperature=0))
    assert text and "".join(c["choices"][0]["delta"].get("content", "") for c in chunks).strip() == text
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert whole["usage"]["completion_tokens"] == chunks[-1]["usage"]["completion_tokens"]

    answers: list[Any] = []
    callers = [threading.Thread(target=lambda: answers.append(ask(client, 0))) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == [text] * 12, "company changes nothing about a greedy answer"
    assert ask(client, 1.0, seed=5) == ask(client, 1.0, seed=5)

    for wrong in ({"messages": []}, {"messages": HELLO, "temperature": -1}, {"messages": HELLO, "n": 3}):
        with pytest.raises(BadInput):
            client.chat(**wrong)
    with pytest.raises(BadInput, match="no head"):
        client.score([{"messages": HELLO, "content": "Hello Tom."}])
    assert len(client.features([{"messages": HELLO, "content": "Hello Tom."}])[0]) > 10

    endless = client.stream(messages=HELLO, temperature=2.0, max_tokens=400)
    next(endless), next(endless)
    endless.close()
    turn_until(keeper, lambda: client.health()["active"] == 0, 20)

    settings.PLUMBLINE_ENGINE_IDLE_SECONDS = 0
    EngineServer.objects.update(wanted_at=timezone.now() - timedelta(minutes=5))
    turn_until(keeper, lambda: status() == "idle", 30)
    assert keeper.kept == {}


def ask(client: serving.Client, temperature: float, **more: Any) -> str:
    return client.chat(messages=HELLO, temperature=temperature, **more)["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_an_engine_that_is_killed_comes_back(keeper: Keeper, settings: Settings, tiny_model: Path) -> None:
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    policy = make_policy("p", kind="local", base="tiny")
    with pytest.raises(Unavailable):
        serving.ensure(policy=policy)
    turn_until(keeper, lambda: status() == "ready")
    client = serving.ensure(policy=policy)
    next(iter(keeper.kept.values())).child.kill()
    with pytest.raises(Unavailable):
        while True:
            client.chat(messages=HELLO)
    turn_until(keeper, lambda: EngineServer.objects.get().attempt == 2 and status() == "ready")
    assert ask(serving.ensure(policy=policy), 0)
