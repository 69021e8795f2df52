"""The lesson and the engineer's pages in a real Chromium: keys, scripts off, live curves, axe, a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from rlhf import teach
from rlhf.models import Lesson, Round, Run, RunMetric
from tests.factories import make_user
from tests.factories_rlhf import make_demo_pool, make_world
from tests.rlhf.views.test_pages import every_page

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in this very thread
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _mira() -> None:
    teach._pool.cache_clear()
    make_user("mira", role="engineer")


def opened(browser: Browser, server: LiveServer, **options: object) -> BrowserContext:
    context = browser.new_context(base_url=server.url, **options)  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    return context


def sign_in(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page of mira's, and the list that its script errors and refusals of the CSP go into."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto("/accounts/login/")
    page.fill("[name=username]", "mira")
    page.fill("[name=password]", "secret-word-9")
    page.keyboard.press("Enter")
    expect(page.locator(".account")).to_contain_text("mira")
    return page, errors


def numbered(page: Page) -> str:
    return page.locator(".progress-line").inner_text()


def test_a_whole_lesson_by_keys_alone(browser: Browser, live_server: LiveServer) -> None:
    make_demo_pool()
    with opened(browser, live_server) as context:
        page, errors = sign_in(context)
        page.goto("/teach/")
        page.keyboard.press("Enter")  # Begin has the focus
        for n in range(teach.TAUGHT + teach.BLIND):
            half = f"{n + 1} of 20" if n < teach.TAUGHT else f"{n - teach.TAUGHT + 1} of 12"
            expect(page.locator(".progress-line")).to_have_text(half)
            polite = "Certainly" in page.locator(".pane").first.inner_text()
            page.keyboard.press("1" if polite else "2")
        expect(page.locator(".verdict")).to_contain_text("interval")
        assert Lesson.objects.get().votes.count() == 32
        assert errors == []


def test_keys_rest_while_a_vote_is_being_saved_and_undo_goes_back(browser: Browser, live_server: LiveServer) -> None:
    make_demo_pool()
    with opened(browser, live_server) as context:
        page, _ = sign_in(context)
        page.goto("/teach/")
        page.get_by_role("button", name="Begin").click()
        page.keyboard.press("Control+1")
        expect(page.locator(".progress-line")).to_have_text("1 of 20")
        page.evaluate("for (let i = 0; i < 5; i++) document.body.dispatchEvent("
                      "new KeyboardEvent('keydown', {key: '1', code: 'Digit1', bubbles: true}))")  # fmt: skip
        expect(page.locator(".progress-line")).to_have_text("2 of 20")
        page.keyboard.press("u")
        expect(page.locator(".progress-line")).to_have_text("1 of 20")
        assert Lesson.objects.get().votes.count() == 0


def test_a_vote_that_cannot_be_saved_says_so_and_can_be_given_again(browser: Browser, live_server: LiveServer) -> None:
    make_demo_pool()
    with opened(browser, live_server) as context:
        page, _ = sign_in(context)
        page.goto("/teach/")
        page.get_by_role("button", name="Begin").click()
        expect(page.locator(".progress-line")).to_have_text("1 of 20")
        page.wait_for_load_state()
        context.set_offline(True)
        page.keyboard.press("1")
        expect(page.get_by_text("could not be saved")).to_be_visible()
        context.set_offline(False)
        page.keyboard.press("1")
        expect(page.locator(".progress-line")).to_have_text("2 of 20")


def test_a_lesson_works_without_scripts(browser: Browser, live_server: LiveServer) -> None:
    make_demo_pool()
    with opened(browser, live_server, java_script_enabled=False) as context:
        page, _ = sign_in(context)
        page.goto("/teach/")
        page.get_by_role("button", name="Begin").click()
        for name in ("A is better", "Tie", "B is better"):
            page.get_by_role("button", name=name).click()
        assert numbered(page) == "4 of 20"
        page.get_by_role("button", name="Undo").click()
        assert numbered(page) == "3 of 20"


def test_curves_and_log_grow_while_one_looks(browser: Browser, live_server: LiveServer) -> None:
    make_world()
    run = Run.objects.get(status="running")
    with opened(browser, live_server) as context:
        page, errors = sign_in(context)
        page.goto(f"/runs/{run.pk}/")
        expect(page.locator(".curve").first).to_contain_text("at step 24")
        RunMetric.objects.create(run=run, step=25, name="loss", value=0.5, at=timezone.now())
        Run.objects.filter(pk=run.pk).update(step=25, log_tail="step 25 loss .5")
        expect(page.locator(".curve").first).to_contain_text("0.500 at step 25")
        expect(page.locator("#log")).to_have_text("step 25 loss .5")
        expect(page.locator("#run")).to_contain_text("25 of 60")
        Run.objects.filter(pk=run.pk).update(status="cancelled", note="Cancelled; its checkpoint is kept.")
        expect(page.locator("#run-resume")).to_be_visible()
        page.reload()
        expect(page.locator(".curve").first).to_contain_text("at step 25")
        assert errors == []


def test_the_loops_page_follows_its_round_and_keeps_the_focus(browser: Browser, live_server: LiveServer) -> None:
    loop = make_world()
    Round.objects.filter(loop=loop, number=2).update(status="collecting", explain="waiting for 12 more preferences")
    with opened(browser, live_server) as context:
        page, errors = sign_in(context)
        page.goto("/loops/demo/")
        page.locator("#loop-go").focus()
        Round.objects.filter(loop=loop, number=2).update(explain="waiting for 11 more preferences")
        expect(page.locator("#loop-now")).to_have_text("Waiting for 11 more preferences")
        expect(page.locator("#loop-go")).to_be_focused()
        assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(browser: Browser, live_server: LiveServer, scheme: str) -> None:
    make_demo_pool()
    make_world()
    with opened(browser, live_server, color_scheme=scheme) as context:
        page, errors = sign_in(context)
        for address in ["/teach/", *every_page()]:
            page.goto(address)
            assert violations(page) == [], address
        page.goto("/teach/")
        page.get_by_role("button", name="Begin").click()
        for n in range(teach.TAUGHT + teach.BLIND):
            if n in (0, 2, teach.TAUGHT):
                assert violations(page) == [], f"vote {n}"
            before = numbered(page)
            page.keyboard.press("1")
            expect(page.locator(".progress-line", has_text=before)).to_have_count(0)
        expect(page.locator(".verdict")).to_be_visible()
        assert violations(page) == []
        assert errors == []


def violations(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    return [(rule["id"], node["html"][:150]) for rule in found for node in rule["nodes"]]


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, live_server: LiveServer) -> None:
    make_demo_pool()
    make_world()
    with opened(browser, live_server, viewport={"width": 390, "height": 844}) as context:
        page, _ = sign_in(context)
        wide = {}
        for address in ["/teach/", *every_page()]:
            page.goto(address)
            wide[address] = page.evaluate("document.documentElement.scrollWidth")
        assert {address: width for address, width in wide.items() if width > 390} == {}
