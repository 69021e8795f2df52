from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from feedback.errors import BadInput, Conflict, NotFound
from rlhf import artifacts, runs
from rlhf.models import Base, Run
from rlhf.run_kinds import storable
from tests.factories import make_policy
from tests.factories_rlhf import make_dataset

pytestmark = pytest.mark.django_db
ENGINE = Path(__file__).parent / "scripted_engine.py"


@pytest.fixture(autouse=True)
def scripted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.PLUMBLINE_LAUNCHER = f"{{python}} {ENGINE} {{run_dir}}"
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(runs, "engine_missing", lambda: "")
    yield


def ordered(**script: Any) -> Run:
    """A `convert` run (it needs no inputs) whose engine does what the script says."""
    run = runs.start(kind="convert", base="toy")
    folder = runs.run_dir(run)
    folder.mkdir(parents=True)
    (folder / "script.json").write_text(json.dumps(script))
    return run


def carried_out(run: Run) -> Run:
    runs.execute(run_id=run.pk)
    run.refresh_from_db()
    return run


def test_a_finished_run_publishes_its_artifact_and_registers_what_it_made() -> None:
    run = carried_out(ordered(progress=[{"loss": 2.0}, {"loss": 1.5}]))
    assert (run.status, run.step, run.total_steps, run.result["figures"]) == ("done", 2, 2, {"loss": 1.5})
    assert Base.objects.get(name="toy").digest == run.artifact
    assert (artifacts.path_of(run.artifact) / "weights.txt").read_text() == "w"
    assert list(run.metrics.order_by("step").values_list("value", flat=True)) == [2.0, 1.5]


def test_a_users_error_fails_the_run_in_the_engines_words() -> None:
    run = carried_out(ordered(error={"code": "bad_config", "message": "lr is too large", "field": "config.lr"}))
    assert (run.status, run.note, run.error["field"]) == ("failed", "lr is too large", "config.lr")


def test_a_crash_is_tried_again_and_finishes_once() -> None:
    run = ordered(crash_until=2)
    for expected in ("queued", "queued", "done"):
        assert carried_out(run).status == expected
    assert run.attempt == 3
    assert carried_out(run).status == "done" and run.attempt == 3


def test_the_third_crash_is_the_last() -> None:
    run = ordered(crash_until=9)
    for _ in range(3):
        carried_out(run)
    assert run.status == "failed" and "3 times" in run.note


def test_crashes_with_new_steps_between_them_never_add_up() -> None:
    run = ordered(crash_until=5, progress_before_crash=True)
    for _ in range(5):
        assert carried_out(run).status == "queued"
        assert run.crashes == 1
    assert carried_out(run).status == "done"


def test_a_directory_that_another_engine_holds_puts_the_run_back() -> None:
    run = carried_out(ordered(exit=75))
    assert run.status == "queued" and "Another engine" in run.note


def test_cancelling_a_waiting_run_is_immediate_and_resuming_queues_it() -> None:
    run = ordered()
    runs.cancel(run=run)
    assert carried_out(run).status == "cancelled"
    runs.resume(run=run)
    assert carried_out(run).status == "done"
    with pytest.raises(Conflict, match="nothing to cancel"):
        runs.cancel(run=run)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_cancelling_a_running_run_stops_it_at_its_next_step() -> None:
    run, worker = working()
    runs.cancel(run=run)
    worker.join(timeout=20)
    run.refresh_from_db()
    assert run.status == "cancelled" and "checkpoint" in run.note


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_stopping_the_machine_saves_and_puts_the_run_back() -> None:
    run, worker = working()
    sign = Path(settings.PLUMBLINE_HOME) / "run" / "stopping"
    sign.parent.mkdir(exist_ok=True)
    sign.touch()
    try:
        worker.join(timeout=20)
        assert carried_out(run).status == "queued"  # and nobody starts it again on the way down
    finally:
        sign.unlink()


def working() -> tuple[Run, threading.Thread]:
    """A run that a worker (a thread) is busy with for half a minute."""
    run = ordered(seconds=30)
    worker = threading.Thread(target=_execute, args=(run.pk,))
    worker.start()
    for _ in range(200):
        run.refresh_from_db()
        if run.status == "running":
            break
        time.sleep(0.05)
    return run, worker


def _execute(pk: Any) -> None:
    try:
        runs.execute(run_id=pk)
    finally:
        connection.close()


def test_a_run_whose_worker_died_is_put_back_and_one_that_beats_is_left_alone() -> None:
    dead, alive = ordered(), ordered()
    long_ago = timezone.now() - timedelta(minutes=5)
    Run.objects.filter(pk=dead.pk).update(status="running", heartbeat_at=long_ago, owner="gone:1", attempt=1)
    Run.objects.filter(pk=alive.pk).update(status="running", heartbeat_at=timezone.now(), owner="here:2", attempt=1)
    runs.sweep()
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.status, alive.status) == ("queued", "running")
    assert carried_out(dead).attempt == 2


def test_output_that_cannot_be_registered_fails_the_run_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise BadInput("line 3 has no content")

    monkeypatch.setattr(runs.KINDS["convert"], "register", refuse)
    run = carried_out(ordered())
    assert (run.status, run.note) == ("failed", "line 3 has no content")
    assert not Base.objects.exists()


def test_a_nul_that_a_model_emits_does_not_lose_its_answers() -> None:
    assert storable("a\x00b") == "a\ufffdb"


def test_an_attempt_that_was_replaced_publishes_nothing() -> None:
    run = ordered()
    runs._claim(run)
    Run.objects.filter(pk=run.pk).update(attempt=5, owner="other:1")
    runs._lay_out(run)
    with pytest.raises(runs.StaleTransition):
        runs._supervise(run)
    assert not Base.objects.filter(name="toy").exists()


def test_the_later_line_of_a_step_wins_and_a_partial_line_waits() -> None:
    run = ordered()
    runs._claim(run)
    path = runs.run_dir(run) / "progress.jsonl"
    line = {"step": 1, "total": 9, "at": time.time(), "metrics": {"loss": 3.0}}
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "metrics": {"loss": 2.0}}) + '\n{"step": 2, "to')
    progress = runs.Progress(run)
    progress.copy()
    assert [m.value for m in run.metrics.all()] == [2.0]
    with path.open("a") as stream:
        stream.write('tal": 9, "at": 1.0, "metrics": {"loss": 1.0}}\n')
    progress.copy()
    assert [m.value for m in run.metrics.order_by("step")] == [2.0, 1.0]


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
