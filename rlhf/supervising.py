"""Carrying a run out on this machine: the engine is a child process that is watched and stopped."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from feedback.errors import Conflict, NotFound, PlumblineError, StaleTransition, Unavailable

from . import attempts, bases, exit_reasons, progress, run_dirs, run_samples, spec
from .models import Run
from .run_dirs import run_dir
from .run_kinds import KINDS

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0  # between SIGTERM and SIGKILL; the stop file gets three times that
LAY_OUT = timedelta(minutes=10)  # of silence while inputs are written
TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft")
ENGINE_KINDS = spec.KINDS
NO_SLOT = -1
AWAY = (OperationalError, InterfaceError)  # of the database: restarting, or locked for too long


def execute(*, run_id: Any) -> Run:
    """Carry out a queued run to its end. Of several callers one does; the others get the row as it stands."""
    run = Run.objects.select_related("policy", "dataset", "reward_model").get(pk=run_id)
    if run.status != "queued" or stopping() or not _ready_to_start(run):
        return run
    slot = run_dirs.slot() if run.kind in ENGINE_KINDS else NO_SLOT
    if slot is None:
        _wait(run, "waiting for another run on this machine to end")
        return run
    try:
        attempts.claim(run, owner=f"{socket.gethostname()}:{os.getpid()}")
        _carry_out(run, slot)
    except StaleTransition:
        log.warning("run %s: another attempt took over", run.pk)
    finally:
        if slot != NO_SLOT:
            os.close(slot)
    return run


def _carry_out(run: Run, slot: int) -> None:
    """Every way in which it may go wrong ends the attempt in the row, in words."""
    try:
        attempts.beat(run, patience=LAY_OUT)
        inputs = run_dirs.lay_out(run, run_dir(run), attempts.Beats(run))
        attempts.beat(run, stands_on=inputs)
        attempts.conclude(run, _supervise(run, slot) if run.kind in ENGINE_KINDS else _produce(run))
    except StaleTransition:
        raise
    except Unavailable as wait:
        attempts.put_back(run, wait.message)
    except PlumblineError as wrong:
        attempts.give_up(run, wrong.code, wrong.message)
    except AWAY:
        log.exception("run %s: the database went away; the sweep puts the run back", run.pk)
    except OSError as broken:
        code = "disk_full" if broken.errno == errno.ENOSPC else "disk"
        attempts.give_up(run, code, f"{broken.strerror or broken}: {broken.filename or run_dir(run)}")
    except Exception as ours:
        log.exception("run %s", run.pk)
        attempts.give_up(run, "internal", f"Plumbline itself failed ({type(ours).__name__}: {ours})"[:500])
    if run.status == "done":
        run_dirs.clear(run_dir(run))


def _produce(run: Run) -> attempts.Ending:
    """A kind for which no engine works."""
    folder = run_dir(run)
    shutil.rmtree(folder / "out", ignore_errors=True)
    KINDS[run.kind].produce(run, folder)  # type: ignore[attr-defined]
    return attempts.Ending(code=spec.EXIT_DONE, folder=folder)


def _ready_to_start(run: Run) -> bool:
    """Look before claiming, so that waiting does not use up attempts."""
    if run.kind not in ENGINE_KINDS:
        return True
    note = engine_missing() or run_dirs.lack_of_disk(run)
    if not note and run.kind not in bases.STARTERS.values():
        try:
            bases.path_of(run.base)
        except Unavailable as wait:
            note = wait.message
        except (NotFound, Conflict):
            note = ""  # the attempt will say so
    if not note and run_dirs.held(run_dir(run)):
        note = "Another engine is still writing in this run's directory; waiting for it to end."
    if note:
        _wait(run, note)
    return not note


def _wait(run: Run, note: str) -> None:
    if note != run.note:
        Run.objects.filter(pk=run.pk, status="queued").update(note=note[:500])


def engine_missing() -> str:
    """Why no engine can start here ("" when it can): the training packages may still be on their way."""
    gone = [name for name in TRAINING_PACKAGES if importlib.util.find_spec(name) is None]
    return f"waiting for the training packages ({', '.join(gone)})" if gone else ""


def command(folder: Path, run: str) -> list[str]:
    """The launcher's template with this run filled in."""
    words = shlex.split(settings.PLUMBLINE_LAUNCHER)
    return [word.format(python=sys.executable, run_dir=folder, run=run) for word in words]


def _supervise(run: Run, slot: int) -> attempts.Ending:
    """Start the launcher and stay with it: progress, heartbeat, cancel."""
    folder = run_dir(run)
    kills = exit_reasons.memory_kills()
    log_file = folder / "log.txt"
    begin = log_file.stat().st_size if log_file.exists() else 0
    child = _start(run, slot)
    try:
        code = _watch(run, child)
    finally:
        _kill_group(child, signal.SIGKILL)  # whatever the launcher left behind
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
    code = exit_reasons.told_code(code, folder, run.attempt)
    return attempts.Ending(
        code=code,
        folder=folder,
        log=progress.log_tail(folder, since=begin),
        moved_on=exit_reasons.moved_on(folder, progress.steps_seen(folder), code),
        memory_kills=exit_reasons.memory_kills() - kills,
    )


def _start(run: Run, slot: int) -> subprocess.Popen[bytes]:
    words = command(run_dir(run), str(run.pk))
    environment = {
        **os.environ,
        "PLUMBLINE_SUPERVISED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    with (run_dir(run) / "log.txt").open("ab") as output:
        try:
            child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=settings.BASE_DIR,
                env=environment, start_new_session=True, pass_fds=(slot,),
            )  # fmt: skip
        except FileNotFoundError as missing:
            raise Conflict(f"The launcher {words[0]!r} is not on this machine (PLUMBLINE_LAUNCHER).") from missing
    limit_memory(child.pid, settings.PLUMBLINE_RUN_MEMORY_MB)
    return child


def limit_memory(pid: int, megabytes: int) -> None:
    """A limit on the data of a process and of whatever it starts (address space alone would stop CUDA); 0 is none."""
    if megabytes:
        try:
            resource.prlimit(pid, resource.RLIMIT_DATA, (megabytes * 2**20, megabytes * 2**20))
        except ProcessLookupError:
            return  # it has ended already


def _watch(run: Run, child: subprocess.Popen[bytes]) -> int:
    folder = run_dir(run)
    reader = progress.Reader(folder / "progress.jsonl")
    samples = run_samples.Reader(run, folder / "samples.jsonl")
    lines: list[dict[str, Any]] = []  # read and not yet stored
    asked_at = None
    while True:
        code = child.poll()
        lines += reader.new()
        try:
            samples.copy()
            attempts.beat(run, log_tail=progress.log_tail(folder), **progress.store(run, lines))
            lines.clear()
        except AWAY:
            _wait_for_database(run)
            continue
        if code is not None:
            return code
        if not (folder / "spec.json").exists():
            raise Conflict("The run's directory was deleted while it ran; going on starts it afresh.")
        if asked_at is None and _should_stop(run):
            asked_at = time.monotonic()
            (folder / "stop").touch()
        if asked_at is not None:
            _insist(child, time.monotonic() - asked_at)
        time.sleep(POLL_SECONDS)


def _wait_for_database(run: Run) -> None:
    """The engine goes on meanwhile; whether the attempt still counts is asked again when the database is back."""
    log.warning("run %s: the database does not answer", run.pk, exc_info=True)
    if not connection.in_atomic_block:
        connection.close()
    time.sleep(POLL_SECONDS)


def _should_stop(run: Run) -> bool:
    """Somebody cancelled the run, or this machine is being stopped (then the row goes back to the queue)."""
    return stopping() or Run.objects.filter(pk=run.pk, cancel_requested=True).exists()


def stopping() -> bool:
    """Whether `bin/up` is on its way down."""
    return (Path(settings.PLUMBLINE_HOME) / "run" / "stopping").exists()


def _insist(child: subprocess.Popen[bytes], waited: float) -> None:
    """The stop file is asked politely; then every descendant gets SIGTERM, then SIGKILL."""
    if waited > 4 * GRACE_SECONDS:
        _kill_group(child, signal.SIGKILL)
    elif waited > 3 * GRACE_SECONDS:
        _kill_group(child, signal.SIGTERM)


def _kill_group(child: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    try:
        os.killpg(child.pid, sign)
    except ProcessLookupError:
        return
