"""The annotator's pages in a real Chromium: by keys alone, by mouse alone, without scripts, offline."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from feedback import assigning, judging
from feedback.models import Assignment, Judgment, Queue, User
from tests.factories import make_item, make_prompt, make_queue, make_user

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in this very thread
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PASSWORD = "secret-word-9"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def ada() -> User:
    return make_user("ada")


@pytest.fixture
def queue(ada: User) -> Queue:
    guidelines = "Prefer what you would rather **get**.\n\n- Wrong facts weigh most\n- Length is no merit"
    queue = make_queue("everyday", members=(ada,), guidelines=guidelines)
    for n in range(8):
        texts = (f"# Left {n}\n\nSome *short* text.", f"Another text, number {n}:\n\n1. one\n2. two")
        make_item(queue, texts=texts, prompt=make_prompt(f"Question number {n}?"))
    return queue


@pytest.fixture
def context(browser: Browser, live_server: LiveServer) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(10_000)
    yield context
    context.close()


def sign_in(context: BrowserContext, name: str = "ada") -> Page:
    page = context.new_page()
    page.goto("/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".account .menu")).to_be_visible()
    return page


def watched(page: Page) -> list[str]:
    """Errors of scripts, and what the content security policy refused."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda line: found.append(line.text) if "Content Security" in line.text else None)
    return found


def shown(page: Page) -> str:
    return page.locator("[data-stage] form.item").get_attribute("data-assignment") or ""


def saved(page: Page, n: int) -> None:
    """Waits until the page says that n answers of today are stored."""
    expect(page.locator("[data-line]")).to_contain_text(f"{n} today")


def test_keys_alone_are_enough(context: BrowserContext, queue: Queue, ada: User) -> None:
    page = sign_in(context)
    errors = watched(page)
    page.keyboard.press("Tab")  # the skip link, then the main content by Enter
    page.goto("/queues/everyday/")
    ids = []
    for n, key in enumerate(("1", "2", "0", "9", "Shift+Digit2"), start=1):
        ids.append(shown(page))
        page.keyboard.press(key)
        saved(page, n)
    said = {str(j.assignment_id): j for j in Judgment.objects.all()}
    assert [said[i].evidence.get("slot", said[i].answer["choice"]) for i in ids] == ["A", "B", "tie", "both_bad", "B"]
    assert [said[i].strength for i in ids] == [1, 1, None, None, 3]
    assert {j.evidence["input"] for j in said.values()} == {"key"}
    assert all(j.duration_ms is not None for j in said.values())
    assert not errors


def test_the_mouse_alone_is_enough(context: BrowserContext, queue: Queue, ada: User) -> None:
    page = sign_in(context)
    page.get_by_role("link", name="Continue with Everyday").click()
    for n, name in enumerate(("A better", "B better", "Tie", "Both bad"), start=1):
        page.get_by_role("button", name=name).click()
        saved(page, n)
    page.get_by_label("much better").check()
    page.get_by_role("button", name="A better").click()
    saved(page, 5)
    page.get_by_role("button", name="Undo").click()
    saved(page, 4)
    skipped = shown(page)
    page.get_by_role("button", name="Skip").click()
    expect(page.locator(f'[data-stage] [data-assignment="{skipped}"]')).to_have_count(0)
    page.get_by_role("button", name="B better").click()
    saved(page, 5)
    standing = Judgment.objects.filter(withdrawn_at__isnull=True)
    assert standing.count() == 5 and {j.evidence["input"] for j in standing} == {"mouse"}
    assert Judgment.objects.get(withdrawn_at__isnull=False).strength == 3
    assert Assignment.objects.get(pk=skipped).status == "skipped"


def test_without_scripts_everything_works(browser: Browser, live_server: LiveServer, queue: Queue, ada: User) -> None:
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = sign_in(context)
    page.goto("/queues/everyday/")
    for n, name in enumerate(("A better", "Tie", "Both bad"), start=1):
        page.get_by_label("Why? A note, if you like").fill(f"because {name}")
        page.get_by_role("button", name=name).click()
        saved(page, n)
    page.get_by_role("button", name="Undo").click()
    saved(page, 2)
    assert page.get_by_label("Why? A note, if you like").input_value() == "because Both bad"
    undone = shown(page)
    page.get_by_role("button", name="Skip").click()
    expect(page.locator(f'[data-assignment="{undone}"]')).to_have_count(0)
    page.locator("summary", has_text="Guidelines").click()
    assert page.get_by_text("Wrong facts weigh most").is_visible()
    page.get_by_role("button", name="Keys").click()
    assert page.get_by_role("heading", name="Keys").is_visible()
    page.goto("/history/")
    assert page.get_by_role("button", name="Undo").count() == 2
    context.close()
    assert Judgment.objects.filter(withdrawn_at__isnull=True).count() == 2
    assert Assignment.objects.filter(status="skipped").count() == 1


def test_undo_brings_the_question_back_and_the_next_one_waits(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    first = shown(page)
    page.keyboard.press("1")
    saved(page, 1)
    page.keyboard.press("u")
    expect(page.locator(f'[data-stage] [data-assignment="{first}"]')).to_be_visible()
    expect(page.get_by_text("You had answered: A better")).to_be_visible()
    for n in range(1, 9):
        page.keyboard.press("2")
        saved(page, n)
    expect(page.get_by_role("heading", name="Nothing left for you here")).to_be_visible()
    assert Judgment.objects.filter(withdrawn_at__isnull=True).count() == 8


def test_keys_rest_while_one_writes_holds_a_modifier_or_reads_the_sheet(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    first = shown(page)
    page.keyboard.press("n")
    page.keyboard.type("120 9su?")
    assert page.locator("[data-stage] textarea").input_value() == "120 9su?"
    page.keyboard.press("Escape")
    for press in ("Control+1", "Alt+2", "Meta+0"):
        page.keyboard.press(press)
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_hidden()
    page.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: true, bubbles: true}))")
    assert shown(page) == first and not Judgment.objects.exists()
    page.keyboard.press("1")
    saved(page, 1)
    assert Judgment.objects.get().rationale == "120 9su?"


def test_a_key_held_down_answers_once(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    for _ in range(4):  # the same key goes down again without having come up: repeats
        page.keyboard.down("1")
    page.keyboard.up("1")
    saved(page, 1)
    assert Judgment.objects.count() == 1


def test_fast_fingers_lose_nothing(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    slow = {"offline": False, "latency": 200, "downloadThroughput": -1, "uploadThroughput": -1}
    context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    for _ in range(3):  # the second goes while the first is on its way
        page.keyboard.press("1")
        expect(page.locator("[data-stage] form.item")).to_be_visible()
    saved(page, 3)
    assert Judgment.objects.count() == 3


def test_a_draft_survives_a_reload_and_goes_with_its_item(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    page.locator("[data-stage] textarea").fill("half a thought")
    page.reload()
    assert page.locator("[data-stage] textarea").input_value() == "half a thought"
    page.get_by_role("button", name="Tie").click()
    saved(page, 1)
    assert page.locator("[data-stage] textarea").input_value() == ""
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('draft'))") == []


def test_offline_the_answer_waits_says_so_and_is_sent_once(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    context.set_offline(True)
    page.locator("[data-stage] textarea").fill("kept through the tunnel")
    page.get_by_role("button", name="A better").click()
    expect(page.locator("[data-bar]")).to_contain_text("not saved yet: there is no connection")
    context.set_offline(False)  # the page notices, and sends by itself
    saved(page, 1)
    expect(page.locator("[data-bar]")).to_be_hidden()
    assert Judgment.objects.get().rationale == "kept through the tunnel"


def test_what_was_not_sent_survives_a_reload(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    page.route("**/judge/**", lambda route: route.abort())
    first = shown(page)
    page.keyboard.press("1")
    expect(page.locator("[data-bar]")).to_be_visible()
    page.unroute("**/judge/**")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    saved(page, 1)
    assert str(Judgment.objects.get().assignment_id) == first and shown(page) != first


def test_an_answer_whose_reply_got_lost_is_stored_once(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")

    def lose_the_reply(route: object) -> None:
        route.fetch()  # type: ignore[attr-defined]
        route.abort()  # type: ignore[attr-defined]

    page.route("**/judge/**", lose_the_reply, times=1)
    page.keyboard.press("1")
    saved(page, 1)
    assert Judgment.objects.count() == 1


def test_judged_in_another_tab_is_told_and_the_note_stays(context: BrowserContext, queue: Queue, ada: User) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    judging.judge(assignment_id=shown(page), annotator=ada, body={"choice": "B"})
    page.locator("[data-stage] textarea").fill("my long reason")
    page.get_by_role("button", name="A better").click()
    expect(page.locator("[data-bar]")).to_contain_text("judged this item already")
    assert page.get_by_label("Your note, so that it is not lost").input_value() == "my long reason"
    expect(page.locator("[data-stage] form.item")).to_be_visible()
    assert Judgment.objects.count() == 1


def test_signed_out_meanwhile_the_answer_waits_for_signing_in(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    other = context.new_page()
    other.goto("/history/")
    other.locator(".account summary").click()
    other.get_by_role("button", name="Sign out").click()
    page.keyboard.press("1")
    expect(page.locator("[data-bar]")).to_contain_text("you are signed out")
    other.fill("[name=username]", "ada")
    other.fill("[name=password]", PASSWORD)
    other.keyboard.press("Enter")
    expect(other.locator(".account .menu")).to_be_visible()
    saved(page, 1)  # sent again by itself
    expect(page.locator("[data-bar]")).to_be_hidden()
    assert Judgment.objects.count() == 1


def test_differences_are_marked_and_unmarked(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    before = page.locator("[data-stage] .panes").inner_text()
    page.keyboard.press("d")
    marked = page.locator("[data-stage] mark").all_inner_texts()
    assert {"Another", "Left"} <= set(marked) and len(marked) == 9, "eleven words, one of them in both"
    assert page.locator("[data-stage] .panes").inner_text() == before
    page.keyboard.press("1")
    expect(page.locator("[data-stage] mark").first).to_be_visible()  # stays on for the next one
    page.keyboard.press("d")
    assert page.locator("[data-stage] mark").count() == 0


def test_the_next_item_is_painted_at_once(context: BrowserContext, queue: Queue, record_property: object) -> None:
    page = sign_in(context)
    page.goto("/queues/everyday/")
    page.evaluate("""() => { window.times = []; document.addEventListener("keydown", () => {
        const from = performance.now();
        requestAnimationFrame(() => requestAnimationFrame(() => times.push(performance.now() - from)));
    }, true); }""")
    for n in range(1, 8):
        page.keyboard.press("1")
        saved(page, n)
    median = statistics.median(page.evaluate("times"))
    record_property("median_ms_to_next_paint", median)  # type: ignore[operator]
    print(f"from key to next item painted: median {median:.0f} ms")
    assert median < 100


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_accessible_and_never_scroll_sideways(
    browser: Browser, live_server: LiveServer, queue: Queue, ada: User, theme: str, width: int
) -> None:
    for _ in range(2):
        lease = assigning.claim(queue=queue, annotator=ada)
        assert lease is not None
        judging.judge(assignment_id=lease.pk, annotator=ada, body={"choice": "A", "rationale": "so"})
    make_user("grace", role="admin")
    context = browser.new_context(
        base_url=live_server.url, color_scheme=theme, viewport={"width": width, "height": 844}
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/accounts/login/")
    audit(page, width)
    page = sign_in(context)
    for path in ("/", "/queues/", "/queues/everyday/", "/history/", "/nowhere/"):
        page.goto(path)
        audit(page, width)
    page.goto("/queues/everyday/")
    for key in ("d", "g", "?"):
        page.keyboard.press(key)
    audit(page, width)
    context.clear_cookies()
    page = sign_in(context, "grace")
    page.goto("/queues/")
    audit(page, width)
    context.close()


def audit(page: Page, width: int) -> None:
    page.wait_for_timeout(450)  # animations fade colours in
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url


def test_the_theme_chosen_by_hand_stays(context: BrowserContext, queue: Queue) -> None:
    page = sign_in(context)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator(".account summary").click()
    page.get_by_role("button", name="Light or dark").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    page.goto("/history/")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after
