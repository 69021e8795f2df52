"""The lesson's page: with and without scripts, blind while it has to be, honest at the end."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from rlhf import teach
from rlhf.models import Lesson
from tests.factories import make_user
from tests.factories_rlhf import make_demo_pool

pytestmark = pytest.mark.django_db
PAGE, START, VOTE, UNDO = (reverse(f"rlhf:{n}") for n in ("teach", "teach-start", "teach-vote", "teach-undo"))


@pytest.fixture(autouse=True)
def _fresh_pool() -> None:
    teach._pool.cache_clear()


@pytest.fixture
def client() -> Client:
    make_demo_pool()
    client = Client()
    client.force_login(make_user("mira"))
    return client


def course() -> teach.Course:
    pool = teach.pool()
    assert pool is not None
    return teach.Course(Lesson.objects.latest("pk"), pool)


def form(picked: str = "left") -> dict[str, object]:
    pair = course().next_pair
    assert pair is not None
    return {"position": pair.position, "left": pair.left.key, "right": pair.right.key, "picked": picked}


def votes(client: Client, count: int, picked: str = "left") -> None:
    for _ in range(count):
        client.post(VOTE, form(picked))


def test_before_the_answers_are_there_the_page_says_so() -> None:
    client = Client()
    client.force_login(make_user())
    assert "not here yet" in client.get(PAGE).content.decode()
    client.post(START)
    assert not Lesson.objects.exists()


def test_looking_at_the_page_begins_nothing(client: Client) -> None:
    assert "Begin" in client.get(PAGE).content.decode()
    assert not Lesson.objects.exists()


def test_the_page_says_that_the_votes_train_nobody_elses_model(client: Client) -> None:
    assert "nobody else’s model" in client.get(PAGE).content.decode()


def test_without_scripts_a_vote_leads_back_to_the_page(client: Client) -> None:
    client.post(START)
    answer = client.post(VOTE, form(), follow=True)
    assert answer.redirect_chain == [(PAGE, 302)]
    assert "2 of 20" in answer.content.decode()


def test_with_scripts_a_vote_answers_the_next_pair_alone(client: Client) -> None:
    client.post(START)
    answer = client.post(VOTE, form(), headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert "<html" not in page and "2 of 20" in page


def test_a_vote_on_a_past_pair_shows_the_present_one_and_says_why(client: Client) -> None:
    client.post(START)
    first = form()
    client.post(VOTE, first)
    answer = client.post(VOTE, {**first, "picked": "right"}, headers={"HX-Request": "true"})
    assert "judged already" in answer.content.decode()
    assert Lesson.objects.get().votes.count() == 1


def test_a_choice_that_does_not_exist_is_bad_input(client: Client) -> None:
    client.post(START)
    assert client.post(VOTE, {**form(), "picked": "everything"}).status_code == 400


def test_after_each_vote_the_bars_and_the_foresight_are_shown(client: Client) -> None:
    client.post(START)
    votes(client, 2)
    page = client.get(PAGE).content.decode()
    assert page.count('class="bar-name"') == 8
    assert "had been" in page or "had expected" in page


def test_while_one_judges_blind_nothing_names_a_policy_or_shows_the_head(client: Client) -> None:
    client.post(START)
    votes(client, teach.TAUGHT)
    pair = course().next_pair
    page = client.get(PAGE).content.decode()
    assert "1 of 12" in page and 'class="bars"' not in page
    assert pair is not None and pair.left.policy.slug not in page


def test_the_verdict_has_score_interval_and_what_would_be_needed(client: Client) -> None:
    client.post(START)
    votes(client, 32, "tie")
    page = client.get(PAGE).content.decode()
    assert "6-6, interval .25-.75, not yet evidence; more than 1,000 more" in page
    assert "Start again" in page


def test_starting_again_keeps_the_first_lesson(client: Client) -> None:
    client.post(START)
    votes(client, 1)
    client.post(START)
    assert [lesson.votes.count() for lesson in Lesson.objects.order_by("pk")] == [1, 0]


def test_a_person_sees_their_own_lesson_alone(client: Client) -> None:
    client.post(START)
    votes(client, 3)
    other = Client()
    other.force_login(make_user("anna"))
    assert "Begin" in other.get(PAGE).content.decode()
    other.post(VOTE, form())
    assert Lesson.objects.get().votes.count() == 3


def test_undo_goes_back_by_one(client: Client) -> None:
    client.post(START)
    votes(client, 2)
    assert "2 of 20" in client.post(UNDO, follow=True).content.decode()
