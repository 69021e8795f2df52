"""Ordering runs, cancelling and resuming them, and the sweep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from feedback import wake
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Event
from rlhf import runs
from rlhf.models import Run
from rlhf.run_kinds import storable
from tests.factories import make_policy
from tests.factories_rlhf import make_dataset
from tests.rlhf.scripted import carried_out, ordered, scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted")]


def test_cancelling_a_waiting_run_is_immediate_and_resuming_queues_it() -> None:
    run = ordered()
    runs.cancel(run=run)
    assert carried_out(run).status == "cancelled"
    runs.resume(run=run)
    assert carried_out(run).status == "done"
    with pytest.raises(Conflict, match="nothing to cancel"):
        runs.cancel(run=run)


def lose_worker(run: Run, **columns: Any) -> None:
    """As if a worker had claimed the run and died five minutes ago."""
    long_ago = timezone.now() - timedelta(minutes=5)
    Run.objects.filter(pk=run.pk).update(status="running", heartbeat_at=long_ago, owner="gone:1", attempt=1, **columns)


def test_a_run_whose_worker_died_is_put_back_and_one_that_beats_is_left_alone() -> None:
    dead, alive = ordered(), ordered()
    lose_worker(dead)
    Run.objects.filter(pk=alive.pk).update(status="running", heartbeat_at=timezone.now(), owner="here:2", attempt=1)
    runs.sweep()
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.status, alive.status) == ("queued", "running")
    assert carried_out(dead).attempt == 2


def test_a_run_that_was_to_be_cancelled_when_its_worker_died_ends_cancelled() -> None:
    run = ordered()
    lose_worker(run, cancel_requested=True)
    runs.sweep()
    run.refresh_from_db()
    assert (run.status, run.finished_at is not None) == ("cancelled", True)
    assert Event.objects.filter(verb="run.finished", object_id=str(run.pk)).count() == 1


def test_the_sweep_leaves_a_run_that_somebody_else_claimed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ordered()
    lose_worker(run)
    put_back = runs.attempts.put_back

    def late(row: Run, note: str) -> None:
        Run.objects.filter(pk=run.pk).update(attempt=2, owner="new:1", heartbeat_at=timezone.now())
        put_back(row, note)

    monkeypatch.setattr(runs.attempts, "put_back", late)
    runs.sweep()
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("running", 2)


@pytest.mark.django_db(transaction=True)
def test_a_run_wakes_the_workers_of_its_queue_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []

    def send(name: str, args: tuple[Any, ...], queue: str = "", **_: Any) -> None:
        sent.append((args[0] if args else "", queue))

    monkeypatch.setattr(wake.current_app, "send_task", send)
    usual, gpu = runs.start(kind="convert", base="toy"), runs.start(kind="convert", base="toy", queue="gpu-a")
    assert sent == [(str(usual.pk), "train"), (str(gpu.pk), "gpu-a")]
    sent.clear()
    monkeypatch.setattr(runs, "backlog", lambda queue: 500 if queue == "gpu-a" else 0)
    assert runs.sweep() == 2
    assert sent == [(str(usual.pk), "train")]  # nobody reads the other queue's messages: pullers serve it


def test_a_queue_with_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="queue"):
        runs.start(kind="convert", base="toy", queue="GPU; rm")


def test_a_nul_that_a_model_emits_does_not_lose_its_answers() -> None:
    assert storable("a\x00b") == "a\ufffdb"


def test_a_run_waits_in_plain_words_for_its_base_model() -> None:
    runs.start(kind="convert", base="toy")
    policy = make_policy(kind="local", base="toy")
    run = runs.start(kind="generate", policy=policy, inputs={"prompts": {}})
    carried_out(run)
    assert (run.status, run.note) == ("queued", "waiting for the base model toy")


@pytest.mark.parametrize(
    ("order", "error", "says"),
    [
        ({"kind": "ppo"}, BadInput, "kind"),
        ({"kind": "reward", "base": "toy"}, BadInput, "dataset"),
        ({"kind": "convert", "config": {"sauce": 1}}, BadInput, "sauce"),
        ({"kind": "dpo", "config": {"lr": "fast"}}, BadInput, "config.lr"),
    ],
)
def test_what_is_wrong_is_refused_by_field_before_anything_starts(order: dict, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        runs.start(**order)
    assert Run.objects.count() == 0


def test_an_unknown_base_is_refused_before_anything_starts() -> None:
    with pytest.raises(NotFound, match="no base model 'gpt-99'"):
        runs.start(kind="reward", dataset=make_dataset(), base="gpt-99")


def test_a_starter_model_is_made_the_first_time_that_a_run_needs_it() -> None:
    for _ in range(2):
        runs.start(kind="reward", dataset=make_dataset(), base="smollm2-135m-instruct")
    assert list(Run.objects.filter(kind="convert").values_list("base", flat=True)) == ["smollm2-135m-instruct"]
