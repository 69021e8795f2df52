"""Each kind of question in a real Chromium: by keys alone, by mouse alone, without scripts."""

from __future__ import annotations

import os
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from feedback.models import Judgment, Queue, User
from tests.browser.test_annotating import ada, audit, browser, context, saved, sign_in, watched
from tests.factories import make_item, make_prompt, make_queue

__all__ = ["ada", "browser", "context"]  # fixtures
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RUBRIC = {
    "attributes": [
        {"name": "helpful", "points": 5, "low": "of no use", "high": "just right"},
        {"name": "brief", "points": 3, "low": "rambles", "high": "to the point"},
    ]
}
CASES: dict[str, dict[str, Any]] = {
    "ranking": {
        "texts": ("first", "second", "third"),
        "keys": ("3", "1", "Shift+Digit2", "Enter"),
        "answer": lambda order: {"ranking": [[order[2]], sorted([order[0], order[1]])]},
    },
    "rating": {
        "texts": ("only",),
        "keys": ("4", "3", "Enter"),
        "answer": lambda order: {"ratings": [{"helpful": 4, "brief": 3}], "scores": [0.875]},
    },
    "thumbs": {"texts": ("only",), "keys": ("2",), "answer": lambda order: {"thumb": "down"}},
    "edit": {
        "texts": ("a poor answer",),
        "keys": ("e", "Control+a", "b", "e", "t", "Control+Enter"),
        "answer": lambda order: {"edited": True},
    },
}


def opened(queue_kind: str, ada: User, count: int = 3) -> Queue:
    rubric = RUBRIC if queue_kind == "rating" else None
    queue = make_queue("q", kind=queue_kind, members=(ada,), rubric=rubric)
    for n in range(count):
        make_item(queue, texts=CASES[queue_kind]["texts"], prompt=make_prompt(f"Question number {n}?"))
    return queue


def stored() -> Judgment:
    return Judgment.objects.order_by("-created_at")[0]


@pytest.mark.parametrize("kind", CASES)
def test_by_keys_alone(context: BrowserContext, ada: User, kind: str) -> None:
    opened(kind, ada)
    page = sign_in(context)
    errors = watched(page)
    page.goto("/queues/q/")
    for key in CASES[kind]["keys"]:
        page.keyboard.press(key)
    saved(page, 1)
    said = stored()
    assert said.answer == CASES[kind]["answer"](said.evidence["order"]) and said.evidence["input"] == "key"
    if kind == "edit":
        assert said.wrote is not None and said.wrote.content == "bet" and "typing_ms" in said.evidence
    page.keyboard.press("u")
    expect(page.get_by_text("You had answered")).to_be_visible()
    assert not errors


def by_mouse(page: Page, kind: str) -> None:
    if kind == "ranking":
        page.get_by_role("button", name="Next best: answer C").click()
        page.get_by_role("button", name="Next best: answer A").click()
        page.locator('[data-slot="B"]').get_by_role("button", name="= as above").click()
        page.get_by_role("button", name="Save this order").click()
    elif kind == "rating":
        page.get_by_label("4").check()
        page.locator("[data-scale]").nth(1).get_by_label("3").check()
        page.get_by_role("button", name="Save and go on").click()
    elif kind == "thumbs":
        page.get_by_role("button", name="Bad").click()
    else:
        page.get_by_label("Your version").fill("bet")
        page.get_by_role("button", name="Save my version").click()


@pytest.mark.parametrize("kind", CASES)
def test_by_mouse_alone(context: BrowserContext, ada: User, kind: str) -> None:
    opened(kind, ada)
    page = sign_in(context)
    page.goto("/queues/q/")
    by_mouse(page, kind)
    saved(page, 1)
    said = stored()
    assert said.answer == CASES[kind]["answer"](said.evidence["order"]) and said.evidence["input"] == "mouse"


@pytest.mark.parametrize("kind", CASES)
def test_without_scripts(browser: Browser, live_server: LiveServer, ada: User, kind: str) -> None:
    opened(kind, ada)
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = sign_in(context)
    page.goto("/queues/q/")
    if kind == "ranking":
        for slot, rank in (("A", "2"), ("B", "2"), ("C", "1")):
            page.get_by_label(f"Rank of answer {slot}").select_option(rank)
        page.get_by_role("button", name="Save this order").click()
    else:
        by_mouse(page, kind)
    saved(page, 1)
    said = stored()
    assert said.answer == CASES[kind]["answer"](said.evidence["order"])
    context.close()


def test_an_answer_is_ranked_by_dragging(context: BrowserContext, ada: User) -> None:
    opened("ranking", ada)
    page = sign_in(context)
    page.goto("/queues/q/")
    page.set_viewport_size({"width": 1280, "height": 1200})  # else the bar with the buttons lies over the grip
    grip, top = page.locator('[data-slot="C"] [data-grip]'), page.locator('[data-slot="A"]')
    start, end = grip.bounding_box(), top.bounding_box()
    assert start and end
    page.mouse.move(start["x"] + 5, start["y"] + 5)
    page.mouse.down()
    page.mouse.move(end["x"] + 20, end["y"] + 3, steps=8)
    page.mouse.up()
    expect(page.locator("[data-ranking-line]")).to_have_text("C > A > B")
    page.get_by_role("button", name="Save this order").click()
    saved(page, 1)
    said = stored()
    assert said.answer == {"ranking": [[said.evidence["order"][n]] for n in (2, 0, 1)]}


def test_an_edit_survives_a_reload(context: BrowserContext, ada: User) -> None:
    opened("edit", ada)
    page = sign_in(context)
    page.goto("/queues/q/")
    page.get_by_label("Your version").fill("half of a better answer")
    page.reload()
    assert page.get_by_label("Your version").input_value() == "half of a better answer"


def test_flags_and_a_marked_passage_go_with_the_answer(context: BrowserContext, ada: User) -> None:
    opened("thumbs", ada)
    page = sign_in(context)
    page.goto("/queues/q/")
    page.keyboard.press("f")
    page.get_by_label("Says something false").check()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-stage] [data-text]'))")
    page.get_by_label("What the passage is").select_option("made_up")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-stage] [data-text]'))")
    page.get_by_role("button", name="Mark the selected passage as").click()
    expect(page.locator("[data-mark-list] li")).to_have_count(1)
    page.get_by_role("button", name="Bad").click()
    saved(page, 1)
    assert stored().flags == ["false"]
    assert stored().spans == [{"response": 0, "quote": "only", "start": 0, "mark": "made_up"}]


def test_harmful_texts_are_veiled_until_a_key(context: BrowserContext, ada: User) -> None:
    queue = opened("thumbs", ada)
    Queue.objects.filter(pk=queue.pk).update(content_level="harmful")
    page = sign_in(context)
    page.goto("/queues/q/")
    text = page.locator("[data-stage] [data-text]")
    assert "blur" in text.evaluate("e => getComputedStyle(e).filter")
    page.keyboard.press("r")
    assert text.evaluate("e => getComputedStyle(e).filter") == "none"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", CASES)
def test_pages_of_every_kind_are_accessible(
    browser: Browser, live_server: LiveServer, ada: User, kind: str, theme: Any
) -> None:
    opened(kind, ada)
    context = browser.new_context(
        base_url=live_server.url, color_scheme=theme, viewport={"width": 390, "height": 844}
    )
    page = sign_in(context)
    page.goto("/queues/q/")
    page.keyboard.press("f")
    audit(page, 390)
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/{kind}-{theme}-390.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.screenshot(path=f"{shots}/{kind}-{theme}.png", full_page=True)
    context.close()
