"""The loop's page: the circle, where it is, why it waits, what each step made."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rlhf.loops import STEPS
from rlhf.models import Loop, Round, RoundStep, RunMetric
from rlhf.timetable import seconds_left, stops
from rlhf.views.loops import circle
from tests.factories import make_policy, make_prompt, make_user
from tests.factories_rlhf import make_loop, make_round, make_run, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user(role="engineer"))
    return client


def page(client: Client, loop: Loop, query: str = "") -> str:
    return client.get(reverse("rlhf:loop", args=[loop.slug]) + query).content.decode()


def test_steps_before_the_present_one_are_done_and_those_after_it_ahead() -> None:
    round_ = make_round(status="sampling")
    states = {stop.name: stop.state for stop in stops(round_)}
    assert states["rewarding"] == "done" and states["sampling"] == "here" and states["ranking"] == "ahead"


def test_a_failed_round_stands_at_the_step_that_failed() -> None:
    states = [stop.state for stop in stops(make_round(status="failed", failed_step="training"))]
    assert states == ["done"] * 5 + ["failed"] + ["ahead"] * 3


def test_a_closed_round_is_done_all_round() -> None:
    assert {stop.state for stop in stops(make_round(status="closed"))} == {"done"}


def test_the_usual_time_is_the_median_of_the_loops_rounds() -> None:
    loop, now = make_loop(), timezone.now()
    for number, seconds in ((1, 10), (2, 40), (3, 20)):
        round_ = make_round(loop, number=number, status="closed")
        times = {"started_at": now, "ended_at": now + timedelta(seconds=seconds)}
        RoundStep.objects.create(round=round_, name="training", **times)
    usual = {stop.name: stop.estimate for stop in stops(make_round(loop, number=4))}
    assert usual["training"] == 20 and usual["voting"] is None


def test_before_the_first_times_a_known_base_gets_a_guess_by_its_work() -> None:
    """10 prompts x 4 draws of 60 tokens at 170 a second and 12 s to start: 26 s; nobody guesses people's pace."""
    live = make_policy("starter", kind="local", base="smollm2-135m-instruct")
    loop = make_loop(base="smollm2-135m-instruct", prompt_filter={"metadata__workspace": "here"})
    for _ in range(10):
        make_prompt(metadata={"workspace": "here"})
    found = {stop.name: stop for stop in stops(make_round(loop, live=live))}
    assert found["sampling"].estimate == pytest.approx(12 + 40 * 60 / 170) and found["sampling"].guessed
    assert found["collecting"].estimate is None and found["voting"].estimate is None


def test_a_base_of_unknown_speed_gets_no_guess() -> None:
    assert {stop.estimate for stop in stops(make_round(make_loop(base="somebody's"), live=make_policy()))} == {None}


def test_what_is_left_follows_the_pace_so_far() -> None:
    """20 of 60 steps in 100 s leave 40 steps of 5 s: 200 s."""
    now = timezone.now()
    run = make_run(status="running", step=20, total_steps=60, started_at=now - timedelta(seconds=100))
    assert seconds_left(run, now) == pytest.approx(200)
    assert seconds_left(make_run(status="running", step=0, total_steps=60, started_at=now), now) is None


def test_the_pace_of_the_last_ten_steps_counts_not_the_slow_start() -> None:
    """Steps 11 to 21 took 2 s each; 39 are left: 78 s, though an hour has gone since the start."""
    now = timezone.now()
    run = make_run(status="running", step=21, total_steps=60, started_at=now - timedelta(hours=1))
    for n in range(1, 22):
        RunMetric.objects.create(run=run, step=n, name="loss", value=0.6, at=now - timedelta(seconds=2 * (21 - n)))
    assert seconds_left(run, now) == pytest.approx(78)


def test_the_circle_starts_at_the_top_and_goes_clockwise() -> None:
    places = circle(stops(make_round()))
    assert len(places) == len(STEPS)
    assert (places[0]["x"], places[0]["y"]) == (210.0, 60.0)
    assert places[1]["x"] > 210


def test_the_page_says_why_the_round_waits(client: Client) -> None:
    loop = make_loop()
    make_round(loop, explain="waiting for 12 more preferences (108 of 120)")
    assert "Waiting for 12 more preferences" in page(client, loop)


def test_an_open_round_asks_again_and_a_closed_one_does_not(client: Client) -> None:
    loop = make_loop()
    round_ = make_round(loop)
    assert "every 3s" in page(client, loop)
    Round.objects.filter(pk=round_.pk).update(status="closed")
    assert "every 3s" not in page(client, loop)


def test_a_round_shows_labels_digest_accuracy_votes_and_next_items(client: Client) -> None:
    loop = make_world()
    first = loop.rounds.get(number=1)
    shown = page(client, loop, "?round=1")
    assert first.dataset is not None
    assert first.dataset.digest[:12] in shown
    for words in (
        "7 <small>pairs + 1 ties",
        ".64 <small>.57 to .70, n 212",
        "Not promoted",
        "12 new pairs",
        "60 gate prompts",
    ):
        assert words in shown, words


def test_simulated_people_are_marked_on_the_loop_and_its_decision(client: Client) -> None:
    loop = make_world()
    shown = page(client, loop, "?round=1")
    assert "simulated people" in shown and "simulated votes" in shown and "simulated-sheet" in shown


def test_a_failed_step_can_be_tried_again(client: Client) -> None:
    loop = make_loop()
    run = make_run(status="failed")
    round_ = make_round(loop, status="failed", failed_step="training", train_run=run, explain="Train failed: no memory")
    assert "Try this step again" in page(client, loop)
    client.post(reverse("rlhf:loop-retry", args=[loop.slug]))
    round_.refresh_from_db()
    run.refresh_from_db()
    assert (round_.status, run.status) == ("training", "queued")


def test_pausing_and_starting_a_loop(client: Client) -> None:
    loop = make_loop()
    make_round(loop)
    address = reverse("rlhf:loop-pause", args=[loop.slug])
    assert "The loop is paused." in client.post(address, follow=True).content.decode()
    client.post(address)
    loop.refresh_from_db()
    assert loop.status == "active"


def test_going_on_without_a_preference_says_what_is_missing(client: Client) -> None:
    loop = make_loop(config={"every": 5})
    make_round(loop)
    answer = client.post(reverse("rlhf:loop-go", args=[loop.slug]), follow=True).content.decode()
    assert "waiting for 5 more preferences" in answer
