"""A run carried out by a child process: how it ends, is stopped, and never runs twice at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from feedback.errors import BadInput
from feedback.models import Event
from rlhf import artifacts, run_dirs, runs, supervising
from rlhf.models import Base, Run
from rlhf.run_kinds import KINDS
from tests.factories import make_policy
from tests.factories_rlhf import make_built_dataset
from tests.rlhf.scripted import ENGINE, carried_out, ordered, scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted")]


def test_a_finished_run_publishes_its_artifact_and_registers_what_it_made() -> None:
    run = carried_out(ordered(progress=[{"loss": 2.0}, {"loss": 1.5}]))
    assert (run.status, run.step, run.total_steps, run.result["figures"]) == ("done", 2, 2, {"loss": 1.5})
    assert Base.objects.get(name="toy").digest == run.artifact
    assert (artifacts.path_of(run.artifact) / "weights.txt").read_text() == "w"
    assert artifacts.verify(run.artifact) == []
    assert list(run.metrics.order_by("step").values_list("value", flat=True)) == [2.0, 1.5]
    assert not (runs.run_dir(run) / "out").exists()  # the artifact is the only copy


def test_a_users_error_fails_the_run_in_the_engines_words() -> None:
    run = carried_out(ordered(error={"code": "bad_config", "message": "lr is too large", "field": "config.lr"}))
    assert (run.status, run.note, run.error["field"]) == ("failed", "lr is too large", "config.lr")


def test_what_a_launcher_makes_of_the_engines_code_is_read_from_what_the_engine_wrote(settings: Any) -> None:
    settings.PLUMBLINE_LAUNCHER = f"bash -c '{{python}} {ENGINE} {{run_dir}} || exit 1'"
    script = {"error": {"code": "bad", "message": "lr is too large"}, "exit_json": {"code": 20, "attempt": 1}}
    run = carried_out(ordered(**script))
    assert (run.status, run.note) == ("failed", "lr is too large")
    stale = carried_out(ordered(**script | {"exit_json": {"code": 20, "attempt": 9}}))
    assert stale.status == "queued" and "exit code 1" in stale.note


@pytest.mark.slow
def test_two_processes_under_torchrun_make_one_policy(settings: Any, tiny_model: Path) -> None:
    torchrun = "{python} -m torch.distributed.run --standalone --nproc_per_node 2"
    settings.PLUMBLINE_LAUNCHER = f"env OMP_NUM_THREADS=1 {torchrun} -m rlhf.engine {{run_dir}}"
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    policy, dataset = make_policy("mine", kind="local", base="tiny"), make_built_dataset()
    config = {"max_steps": 2, "batch_size": 2, "warmup_steps": 0}
    run = carried_out(runs.start(kind="dpo", dataset=dataset, policy=policy, config=config))
    assert run.status == "done", (run.note, run.log_tail)
    assert run.result["processes"] == 2 and run.produced_policy is not None
    assert list(run.metrics.filter(name="loss").order_by("step").values_list("step", flat=True)) == [1, 2]


def test_a_crash_is_tried_again_and_finishes_once() -> None:
    run = ordered(crash_until=2)
    for expected in ("queued", "queued", "done"):
        assert carried_out(run).status == expected
    assert run.attempt == 3
    assert carried_out(run).status == "done" and run.attempt == 3
    assert Event.objects.filter(verb="run.finished", object_id=str(run.pk)).count() == 1


def test_the_third_crash_is_the_last() -> None:
    run = ordered(crash_until=9, says="Traceback (most recent call last)\nValueError: no such column\n")
    for _ in range(3):
        carried_out(run)
    assert run.status == "failed" and "3 times" in run.note and "no such column" in run.note


def test_crashes_with_new_steps_between_them_never_add_up() -> None:
    run = ordered(crash_until=5, progress_before_crash=True)
    for _ in range(5):
        assert carried_out(run).status == "queued"
        assert run.crashes == 1
    assert carried_out(run).status == "done"


def test_a_crash_after_steps_that_an_attempt_without_a_crash_reached_starts_the_count_anew() -> None:
    run = ordered(crash_until=9)
    for crashes in (1, 2):
        assert carried_out(run).crashes == crashes
    with (runs.run_dir(run) / "progress.jsonl").open("a") as stream:  # by an attempt whose worker died
        stream.write('{"step": 7, "total": 9}\n')
    assert (carried_out(run).status, run.crashes) == ("queued", 1)


def test_kills_at_the_same_place_end_the_run_later_than_crashes_do() -> None:
    run = ordered(crash_until=9, signal=signal.SIGKILL)
    for _ in range(4):
        assert carried_out(run).status == "queued"
    assert carried_out(run).status == "failed" and "5 times" in run.note


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ("MemoryError", "out_of_memory", "batch_size"),
        ("ModuleNotFoundError: No module named 'deepspeed'", "missing_module", "deepspeed"),
        ("OSError: [Errno 28] No space left on device", "disk_full", "disk is full"),
    ],
)
def test_what_another_try_cannot_mend_fails_at_once_in_one_clear_line(says: str, code: str, words: str) -> None:
    run = carried_out(ordered(crash_until=9, says=says))
    assert (run.status, run.error["code"], run.attempt) == ("failed", code, 1)
    assert words in run.note and "\n" not in run.note


def test_a_kill_is_tried_again_and_named_as_such() -> None:
    run = carried_out(ordered(crash_until=1, signal=signal.SIGKILL))
    assert run.status == "queued" and "killed" in run.note
    assert carried_out(run).status == "done"


def test_the_log_of_an_earlier_attempt_explains_nothing_about_a_later_one() -> None:
    run = carried_out(ordered(crash_until=3))
    with (runs.run_dir(run) / "log.txt").open("a") as log:
        log.write("MemoryError\n")
    assert carried_out(run).status == "queued"


def test_a_directory_that_another_engine_holds_puts_the_run_back() -> None:
    run = carried_out(ordered(exit=75))
    assert run.status == "queued" and "Another engine" in run.note


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_outlived_its_worker_and_the_next_attempt_never_write_side_by_side() -> None:
    run = ordered(hold=True)
    runs.attempts.claim(run, owner="gone:1")
    run_dirs.lay_out(run, runs.run_dir(run))
    survivor = subprocess.Popen([sys.executable, str(ENGINE), str(runs.run_dir(run))], start_new_session=True)
    try:
        for _ in range(200):
            if (runs.run_dir(run) / "progress.jsonl").exists():
                break
            time.sleep(0.05)
        Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=1))
        runs.sweep()
        before = {p.name: p.stat().st_mtime_ns for p in runs.run_dir(run).iterdir()}
        assert carried_out(run).status == "queued"
        assert "Another engine" in run.note and run.attempt == 1  # nobody claimed, nothing was laid out again
        assert {p.name: p.stat().st_mtime_ns for p in runs.run_dir(run).iterdir()} == before
    finally:
        survivor.kill()
        survivor.wait()
    (runs.run_dir(run) / "script.json").write_text("{}")
    assert carried_out(run).status == "done" and run.attempt == 2


def test_a_machine_carries_out_one_run_at_a_time_unless_told_otherwise(settings: Any) -> None:
    run, busy = ordered(), run_dirs.slot()
    assert busy is not None
    assert carried_out(run).status == "queued"
    assert run.note == "waiting for another run on this machine to end" and run.attempt == 0
    settings.PLUMBLINE_RUNS_PER_MACHINE = 2
    assert carried_out(run).status == "done"
    os.close(busy)


def test_a_disk_without_room_is_said_before_anything_starts(settings: Any) -> None:
    run = ordered()
    settings.PLUMBLINE_MIN_FREE_MB = 2**40
    assert carried_out(run).status == "queued" and run.attempt == 0
    assert run.note.startswith("waiting for disk space:") and str(settings.PLUMBLINE_HOME) in run.note
    settings.PLUMBLINE_MIN_FREE_MB = 0
    assert carried_out(run).status == "done"


def test_a_full_disk_while_the_output_is_stored_fails_the_run_and_registers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device", "/artifacts/x")

    monkeypatch.setattr(artifacts.shutil, "copytree", full)
    run = carried_out(ordered())
    assert (run.status, run.note) == ("failed", "No space left on device: /artifacts/x")
    assert not Base.objects.exists() and not run.artifact


def test_a_memory_limit_ends_the_run_in_one_clear_line(settings: Any) -> None:
    settings.PLUMBLINE_LAUNCHER = "{python} -c 'x = bytearray(10**9)' {run_dir}"
    settings.PLUMBLINE_RUN_MEMORY_MB = 300
    run = carried_out(ordered())
    assert (run.status, run.error["code"]) == ("failed", "out_of_memory")
    assert "PLUMBLINE_RUN_MEMORY_MB" in run.note


@pytest.mark.slow
def test_the_real_engine_out_of_memory_says_so_and_promotes_nothing(settings: Any, tiny_model: Path) -> None:
    settings.PLUMBLINE_LAUNCHER = "{python} -m rlhf.engine {run_dir}"
    settings.PLUMBLINE_RUN_MEMORY_MB = 900
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    config = {"examples": 20000, "batch_size": 1024, "steps": 5}
    run = carried_out(runs.start(kind="pretrain", base="big", config=config))
    assert (run.status, run.error and run.error["code"]) == ("failed", "out_of_memory"), (run.note, run.log_tail)
    assert run.attempt == 1 and "PLUMBLINE_RUN_MEMORY_MB" in run.note
    assert not Base.objects.filter(name="big").exists() and not run.artifact


@pytest.mark.slow
def test_training_that_leaves_the_numbers_stops_and_says_so(settings: Any, tiny_model: Path) -> None:
    settings.PLUMBLINE_LAUNCHER = "{python} -m rlhf.engine {run_dir}"
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    policy, dataset = make_policy("mine", kind="local", base="tiny"), make_built_dataset()
    config = {"max_steps": 12, "batch_size": 2, "warmup_steps": 0, "lr": 1.0, "beta": 100.0}
    run = carried_out(runs.start(kind="dpo", dataset=dataset, policy=policy, config=config))
    assert (run.status, run.error and run.error["code"]) == ("failed", "diverged"), (run.note, run.log_tail)
    assert run.produced_policy is None and not run.artifact and "\n" not in run.note


def test_a_launcher_that_is_not_there_is_named(settings: Any) -> None:
    settings.PLUMBLINE_LAUNCHER = "no-such-srun python -m rlhf.engine {run_dir}"
    run = carried_out(ordered())
    assert run.status == "failed" and "'no-such-srun'" in run.note and "PLUMBLINE_LAUNCHER" in run.note


def test_an_engine_that_ends_well_without_output_fails_the_run() -> None:
    run = carried_out(ordered(no_output=True))
    assert (run.status, run.error["code"]) == ("failed", "no_output")


def test_garbled_progress_does_not_stop_a_run() -> None:
    run = carried_out(ordered(raw_progress='{"step": 1\nnull\n{"step": "x", "total": 2}\n', progress=[{"loss": 1.0}]))
    assert run.status == "done" and run.metrics.count() == 1


def test_a_base_that_the_settings_name_wrongly_is_one_clear_line(settings: Any, tmp_path: Path) -> None:
    settings.PLUMBLINE_BASES = {"theirs": str(tmp_path / "gone")}
    policy = make_policy(kind="local", base="theirs")
    run = carried_out(runs.start(kind="generate", policy=policy, inputs={"prompts": {}}))
    assert run.status == "failed" and "theirs" in run.note and "PLUMBLINE_BASES" in run.note
    (tmp_path / "gone").mkdir()
    again = carried_out(runs.start(kind="generate", policy=policy, inputs={"prompts": {}}))
    assert again.status == "failed" and "safetensors" in again.note


def test_an_adapter_that_is_missing_is_one_clear_line(settings: Any, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    settings.PLUMBLINE_BASES = {"mine": str(tmp_path)}
    policy = make_policy(kind="local", base="mine", adapter="ab" * 32)
    run = carried_out(runs.start(kind="generate", policy=policy, inputs={"prompts": {}}))
    assert (run.status, run.note) == ("failed", "The artifact abababababab is not on this machine.")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_directory_that_is_deleted_while_the_run_works_fails_it_and_it_can_start_afresh() -> None:
    run, worker = working(ignore_stop=True)
    shutil.rmtree(runs.run_dir(run))
    worker.join(timeout=20)
    run.refresh_from_db()
    assert run.status == "failed" and "directory was deleted" in run.note
    runs.resume(run=run)
    runs.run_dir(run).mkdir()
    (runs.run_dir(run) / "script.json").write_text("{}")
    assert carried_out(run).status == "done"


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
def test_an_engine_that_does_not_heed_the_stop_file_is_stopped_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "GRACE_SECONDS", 0.2)
    run, worker = working(ignore_stop=True)
    runs.cancel(run=run)
    worker.join(timeout=20)
    run.refresh_from_db()
    assert run.status == "cancelled" and "by force" in run.note


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_stopping_the_machine_saves_and_puts_the_run_back(settings: Any) -> None:
    run, worker = working()
    sign = settings.PLUMBLINE_HOME / "run" / "stopping"
    sign.touch()
    worker.join(timeout=20)
    assert carried_out(run).status == "queued"  # and nobody starts it again on the way down


def working(**script: Any) -> tuple[Run, threading.Thread]:
    """A run that a worker (a thread) is busy with for half a minute."""
    run = ordered(seconds=30, **script)
    worker = threading.Thread(target=_execute, args=(run.pk,))
    worker.start()
    for _ in range(200):
        run.refresh_from_db()
        if run.stands_on == {} and (runs.run_dir(run) / "log.txt").exists():
            break
        time.sleep(0.05)
    return run, worker


def _execute(pk: Any) -> None:
    try:
        runs.execute(run_id=pk)
    finally:
        connection.close()


def test_output_that_cannot_be_registered_fails_the_run_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise BadInput("line 3 has no content")

    monkeypatch.setattr(KINDS["convert"], "register", refuse)
    run = carried_out(ordered())
    assert (run.status, run.note) == ("failed", "line 3 has no content")
    assert not Base.objects.exists()


def test_a_database_that_goes_away_for_a_moment_costs_neither_the_run_nor_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, failures = supervising.progress.store, iter([True, True, False])

    def unsteady(run: Run, lines: list[dict[str, Any]]) -> dict[str, Any]:
        if next(failures, False):
            raise OperationalError("server closed the connection unexpectedly")
        return store(run, lines)

    monkeypatch.setattr(supervising.progress, "store", unsteady)
    run = carried_out(ordered(progress=[{"loss": 2.0}, {"loss": 1.5}]))
    assert (run.status, run.attempt, run.metrics.count()) == ("done", 1, 2)


def test_a_mistake_of_ours_fails_the_run_instead_of_leaving_it_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise KeyError("chosen")

    monkeypatch.setattr(KINDS["convert"], "lay_out", broken)
    run = carried_out(ordered())
    assert (run.status, run.error["code"]) == ("failed", "internal") and "KeyError" in run.note


def test_a_retry_finds_what_the_first_try_was_told(settings: Any) -> None:
    run = ordered(crash_until=1)
    carried_out(run)
    first = json.loads((runs.run_dir(run) / "spec.json").read_text())
    carried_out(run)
    second = json.loads((runs.run_dir(run) / "spec.json").read_text())
    assert (first.pop("attempt"), second.pop("attempt")) == (1, 2) and first == second
