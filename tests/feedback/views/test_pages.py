from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from feedback import assigning, events, judging
from feedback.models import Assignment, Judgment, Queue, User
from tests.factories import make_item, make_queue, make_user


def answer(queue: Queue, user: User, choice: str = "A") -> judging.Taken:
    lease = assigning.claim(queue=queue, annotator=user)
    assert lease is not None
    return judging.judge(assignment_id=lease.pk, annotator=user, body={"choice": choice})


@pytest.mark.django_db
def test_signed_out_the_first_page_leads_to_a_form_with_name_password_and_token(client: Client) -> None:
    page = client.get("/", follow=True).content.decode()
    for name in ("username", "password", "csrfmiddlewaretoken"):
        assert f'name="{name}"' in page


def test_home_counts_today_and_offers_to_continue(as_ada: Client, queue: Queue, ada: User) -> None:
    answer(queue, ada)
    page = as_ada.get("/").content.decode()
    assert "1 answer today" in page and f'href="/queues/{queue.slug}/"' in page
    assert "<b>3</b> left for you" in page


def test_home_goes_on_where_the_person_judged_last(as_ada: Client, queue: Queue, ada: User) -> None:
    second = make_queue("another", members=(ada,))
    make_item(second), make_item(second)
    answer(second, ada)
    assert "Continue with Another" in as_ada.get("/").content.decode()
    answer(second, ada)
    assert "Continue with Everyday" in as_ada.get("/").content.decode(), "nothing is left in the other"


def test_without_a_queue_home_says_how_one_gets_one(as_ada: Client) -> None:
    assert b"No queue is yours yet" in as_ada.get("/").content


def test_in_the_demo_the_lesson_comes_first_and_only_once(
    as_ada: Client, queue: Queue, ada: User, settings: Settings
) -> None:
    settings.PLUMBLINE_DEMO = True
    assert as_ada.get("/").url == "/teach/"
    events.record("lesson.finished", queue, actor=ada)
    page = as_ada.get("/")
    assert page.status_code == 200 and b"135M-parameter model" in page.content


def test_who_has_judged_is_not_sent_to_the_lesson(as_ada: Client, queue: Queue, ada: User, settings: Settings) -> None:
    settings.PLUMBLINE_DEMO = True
    answer(queue, ada)
    assert as_ada.get("/").status_code == 200


def test_the_banner_is_shown_in_the_demo_only(as_ada: Client, queue: Queue) -> None:
    assert b"135M-parameter model" not in as_ada.get("/queues/").content


@pytest.mark.parametrize(
    ("role", "entries"),
    [
        ("annotator", ["Label", "Teach"]),
        ("reviewer", ["Label", "Teach"]),
        ("engineer", ["Label", "Console", "Teach", "Loops", "Runs", "Datasets", "Models"]),
        ("admin", ["Label", "Console", "Teach", "Loops", "Runs", "Datasets", "Models"]),
    ],
)
def test_navigation_follows_the_role(client: Client, db: None, role: str, entries: list[str]) -> None:
    client.force_login(make_user(role=role))
    nav = client.get("/queues/").content.decode().split("<nav")[1].split("</nav>")[0]
    assert re.findall(r">\s*(\w+)</a>", nav) == entries
    assert nav.count("aria-current") == 1


def test_engineers_see_all_queues_with_their_figures(client: Client, queue: Queue, ada: User) -> None:
    answer(queue, ada)
    client.force_login(make_user(role="engineer"))
    page = client.get("/queues/").content.decode()
    assert "Everyday" in page and "Left picked" in page and "100%" in page
    assert f'href="/queues/{queue.slug}/"' not in page, "reading is not membership"


def test_annotators_see_their_queues_alone(as_ada: Client, queue: Queue) -> None:
    make_queue("of-others")
    page = as_ada.get("/queues/").content.decode()
    assert "Everyday" in page and "Of-Others" not in page and "Left picked" not in page


def test_simulated_votes_carry_their_mark(client: Client, queue: Queue) -> None:
    robot = make_user()
    queue.memberships.create(user=robot, kind="simulated")
    answer(queue, robot)
    client.force_login(make_user(role="engineer"))
    assert 'class="simulated"' in client.get("/queues/").content.decode()


def test_history_offers_undo_for_the_last_ten(as_ada: Client, ada: User) -> None:
    queue = make_queue(members=(ada,))
    for _ in range(12):
        make_item(queue)
        answer(queue, ada, "tie")
    page = as_ada.get("/history/").content.decode()
    assert page.count('name="judgment"') == 10 and page.count(">Tie<") == 12


def test_undo_from_history_leads_to_the_question(as_ada: Client, queue: Queue, ada: User) -> None:
    taken = answer(queue, ada)
    reply = as_ada.post(reverse("feedback:undo", args=[queue.slug]), {"judgment": taken.judgment.pk}, follow=True)
    assert "Taken back" in reply.content.decode()
    assert f'data-assignment="{taken.judgment.assignment_id}"' in reply.content.decode()


def test_history_holds_nobody_elses_judgments(as_ada: Client, queue: Queue) -> None:
    other = make_user()
    queue.memberships.create(user=other)
    answer(queue, other)
    assert b"Nothing yet" in as_ada.get("/history/").content


def test_the_component_page_is_for_development(as_ada: Client, settings: Settings) -> None:
    assert as_ada.get("/design/").status_code == 404
    settings.DEBUG = True
    assert as_ada.get("/design/").status_code == 200


def test_signing_out_gives_the_leases_back(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(f"/queues/{queue.slug}/")
    assert as_ada.post("/accounts/logout/").status_code == 302
    assert not Assignment.objects.filter(annotator=ada, status="leased").exists()
    assert as_ada.get("/history/").status_code == 302


def test_an_answer_that_arrives_after_signing_out_and_in_again_is_taken(
    as_ada: Client, queue: Queue, ada: User
) -> None:
    as_ada.get(f"/queues/{queue.slug}/")
    lease = Assignment.objects.get(annotator=ada, place=0)
    as_ada.post("/accounts/logout/")
    as_ada.force_login(ada)
    late = as_ada.post(reverse("feedback:judge", args=[queue.slug, lease.pk]), {"choice": "A", "key": "k"})
    assert late.status_code == 302 and Judgment.objects.get().assignment_id == lease.pk


def test_signing_out_needs_a_post(as_ada: Client) -> None:
    assert as_ada.get("/accounts/logout/").status_code == 405


@pytest.mark.django_db
def test_a_wrong_password_is_told_without_saying_which_was_wrong(client: Client, ada: User) -> None:
    page = client.post("/accounts/login/", {"username": "ada", "password": "no"}).content.decode()
    assert 'role="alert"' in page and "correct username and password" in page


@pytest.mark.django_db
def test_signing_in_leads_where_one_wanted_to_go_but_never_elsewhere(client: Client, ada: User) -> None:
    said = {"username": "ada", "password": "secret-word-9"}
    assert client.post("/accounts/login/", {**said, "next": "/history/"}).url == "/history/"
    client.logout()
    assert client.post("/accounts/login/", {**said, "next": "https://evil.example/"}).url == "/"


@pytest.mark.django_db
def test_pages_carry_no_inline_script_style_or_handler(as_ada: Client, queue: Queue, settings: Settings) -> None:
    for path in ("/nowhere/", "/", "/queues/", f"/queues/{queue.slug}/", "/history/", "/design/"):
        settings.DEBUG = path == "/design/"
        reply = as_ada.get(path)
        page = reply.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page), path
        assert not re.search(r"<[^>]+\s(style|on\w+)=", page) and "<style" not in page, path
        assert "'self'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
