"""Scores on demand: 503 while the model loads, then means and spreads in the order of the items."""

from __future__ import annotations

from typing import Any

import pytest

from feedback.errors import Unavailable
from rlhf import serving
from rlhf.models import EngineServer
from tests.api.conftest import Caller
from tests.factories_rlhf import make_reward_model

pytestmark = pytest.mark.django_db
ITEM = {"messages": [{"role": "user", "content": "Hi"}], "content": "Hello."}
PATH = "/reward-models/head/score/"


class Door:
    """A resident engine that is in memory."""

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *gone: object) -> None:
        return

    def score(self, items: list[dict[str, Any]]) -> list[dict[str, float]]:
        return [{"mean": float(len(item["content"])), "sd": 0.5} for item in items]


def test_a_model_that_is_not_in_memory_is_woken_and_the_caller_comes_back(engineer: Caller) -> None:
    make_reward_model("head")
    status, body = engineer.post(PATH, {"items": [ITEM]})
    assert (status, body["error"]["code"]) == (503, "unavailable")
    assert EngineServer.objects.get().status == "wanted"


def test_scores_come_in_the_order_of_the_items(engineer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    make_reward_model("head")
    monkeypatch.setattr(serving, "ensure", lambda **_: Door())
    status, body = engineer.post(PATH, {"items": [ITEM, {**ITEM, "content": ""}]})
    assert (status, body) == (200, {"scores": [{"mean": 6.0, "sd": 0.5}, {"mean": 0.0, "sd": 0.5}]})


@pytest.mark.parametrize(
    "items",
    [None, {}, [1], [{}], [{**ITEM, "more": 1}], [{**ITEM, "messages": []}],
     [{**ITEM, "messages": [{"role": "assistant", "content": "x"}]}]],
)  # fmt: skip
def test_items_of_another_shape_are_refused(engineer: Caller, items: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_reward_model("head")
    monkeypatch.setattr(serving, "ensure", lambda **_: Door())
    assert engineer.post(PATH, {"items": items})[0] == 400


def test_more_than_a_thousand_items_are_too_many_and_an_unknown_model_is_not_found(engineer: Caller) -> None:
    make_reward_model("head")
    assert engineer.post(PATH, {"items": [ITEM] * 1001})[0] == 413
    assert engineer.post("/reward-models/nobody/score/", {"items": [ITEM]})[0] == 404


def test_an_engine_that_goes_away_meanwhile_is_a_503(engineer: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**_: Any) -> Any:
        raise Unavailable("gone", retry_after=2)

    make_reward_model("head")
    monkeypatch.setattr(serving, "ensure", gone)
    assert engineer.post(PATH, {"items": [ITEM]})[0] == 503
