"""The run's page: live figures, curves explained, buttons that fit the state."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from rlhf import run_samples
from rlhf.models import Run, RunMetric
from rlhf.views.runs import POINTS
from tests.factories import make_user
from tests.factories_rlhf import add_metrics, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user(role="engineer"))
    return client


def page(client: Client, run: Run) -> str:
    return client.get(reverse("rlhf:run", args=[run.pk])).content.decode()


def figures(client: Client, run: Run) -> dict:
    return client.get(reverse("rlhf:run-metrics", args=[run.pk])).json()


def test_curves_come_known_ones_first_each_with_a_word_on_health(client: Client) -> None:
    run = make_run(status="running")
    add_metrics(run, 3)
    RunMetric.objects.create(run=run, step=1, name="aardvarks/seen", value=2, at=timezone.now())
    curves = figures(client, run)["curves"]
    assert [c["name"] for c in curves] == ["loss", "accuracy", "margin", "aardvarks/seen"]
    assert "levels off" in curves[0]["healthy"]
    assert [[step, round(value, 3)] for step, value in curves[0]["points"]] == [[1, 0.686], [2, 0.682], [3, 0.678]]
    assert (curves[3]["title"], curves[3]["healthy"]) == ("aardvarks: seen", "")


def test_a_long_curve_is_thinned_but_keeps_its_last_point(client: Client) -> None:
    run = make_run(status="running")
    add_metrics(run, 2 * POINTS + 1)
    points = figures(client, run)["curves"][0]["points"]
    assert len(points) <= POINTS + 2
    assert points[-1][0] == 2 * POINTS + 1


def test_a_running_run_asks_again_and_a_finished_one_does_not(client: Client) -> None:
    running, done = make_run(status="running"), make_run(status="done")
    assert "every 2s" in page(client, running) and "every 2s" not in page(client, done)
    assert (figures(client, running)["finished"], figures(client, done)["finished"]) == (False, True)


def test_buttons_fit_the_state(client: Client) -> None:
    shown = {
        status: ("run-cancel" in page(client, run), "run-resume" in page(client, run))
        for status in ("queued", "running", "failed", "cancelled", "done")
        for run in [make_run(status=status)]
    }
    assert shown == {
        "queued": (True, False),
        "running": (True, False),
        "failed": (False, True),
        "cancelled": (False, True),
        "done": (False, False),
    }


def test_cancelling_a_waiting_run_cancels_it(client: Client) -> None:
    run = make_run(status="queued")
    client.post(reverse("rlhf:run-cancel", args=[run.pk]))
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_cancelling_a_running_one_asks_it_to_stop_and_says_so(client: Client) -> None:
    run = make_run(status="running")
    answer = client.post(reverse("rlhf:run-cancel", args=[run.pk]), follow=True).content.decode()
    assert "stopping" in answer and "run-cancel" not in answer


def test_cancelling_a_finished_run_is_refused_in_words(client: Client) -> None:
    run = make_run(status="done")
    answer = client.post(reverse("rlhf:run-cancel", args=[run.pk]), follow=True).content.decode()
    assert "nothing to cancel" in answer


def test_a_failed_run_goes_on_after_resume(client: Client) -> None:
    run = make_run(status="failed", error={"message": "No space left on device."})
    assert "No space left" in page(client, run)
    client.post(reverse("rlhf:run-resume", args=[run.pk]))
    run.refresh_from_db()
    assert run.status == "queued"


def test_what_a_log_holds_is_text_and_never_markup(client: Client) -> None:
    run = make_run(status="running", log_tail="<script>alert(1)</script>")
    assert "<script>alert(1)" not in page(client, run)


def test_an_ill_curve_is_told_on_the_page_and_beside_the_curve(client: Client) -> None:
    run = make_run("grpo", status="running")
    RunMetric.objects.bulk_create(
        RunMetric(run=run, step=n, name="completions/mean_length", value=50 + 5 * n, at=timezone.now())
        for n in range(1, 41)
    )
    assert "length itself is being rewarded" in page(client, run)
    assert "length itself is being rewarded" in figures(client, run)["curves"][0]["warning"]


def test_figures_stand_in_a_table_too_with_the_last_step_in_it(client: Client) -> None:
    run = make_run(status="running")
    add_metrics(run, 100)
    table = client.get(reverse("rlhf:run-figures", args=[run.pk])).content.decode()
    assert ">100</th>" in table and table.count("<tr>") == 1 + 15
    assert "0.29" in table


def test_what_a_run_took_is_shown_with_its_cost(client: Client, settings: Settings) -> None:
    settings.PLUMBLINE_PRICE_PER_HOUR = 2.0
    run = make_run(status="done", attempt=1, result={"seconds": 1800.0, "tokens": 12345, "peak_memory_mb": 990})
    shown = page(client, run)
    for words in ("30 min", "12,345", "990 MB", "1.00", "at 2 an hour"):
        assert words in shown, words


def test_without_a_price_no_cost_is_shown(client: Client) -> None:
    run = make_run(status="done", attempt=1, result={"seconds": 1800.0})
    assert "an hour" not in page(client, run)


def test_sample_answers_stand_side_by_side_by_step(client: Client) -> None:
    run = make_run(status="running")
    rows = [{"step": step, "prompt": "Say hello.", "content": f"Hello *{step}*"} for step in (0, 20)]
    run_samples.store(run, [*rows, {**rows[1], "content": "Hello, later"}])
    shown = page(client, run)
    assert "<em>0</em>" in shown and "Hello, later" in shown and "<em>20</em>" not in shown


def test_runs_are_compared_by_what_differs_and_on_one_chart(client: Client) -> None:
    a, b = (make_run(status="done", config={"lr": lr, "beta": 0.1}) for lr in (1e-4, 5e-5))
    for run in (a, b):
        add_metrics(run, 5)
    query = {"runs": [str(a.pk), str(b.pk), "no-id", str(a.pk)]}
    shown = client.get(reverse("rlhf:runs-compare"), query).content.decode()
    assert "0.0001" in shown and "0.00005" in shown and ">beta<" not in shown
    curves = client.get(reverse("rlhf:runs-compare-metrics"), query).json()["curves"]
    assert [line["run"][0] for line in curves[0]["lines"]] == ["A", "B"]


def test_a_comparison_of_nothing_offers_the_runs_that_have_figures(client: Client) -> None:
    run = make_run(status="done")
    add_metrics(run, 5)
    shown = client.get(reverse("rlhf:runs-compare")).content.decode()
    assert "Choose two runs or more" in shown and str(run.pk) in shown
