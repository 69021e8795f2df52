"""One attempt at a run: claimed by one worker, kept alive by its heartbeat, ended exactly once.

Each claim raises `attempt`. Whatever a worker writes afterwards is guarded by attempt and owner, so that one that was
thought dead and comes back changes nothing. The worker may sit on this machine (`supervising`) or behind HTTP
(`remote`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from feedback import events
from feedback.errors import StaleTransition
from feedback.lifecycle import advance, advance_held
from feedback.wake import wake

from . import artifacts, exit_reasons, spec
from .models import Run
from .progress import storable
from .run_kinds import KINDS

log = logging.getLogger(__name__)
STALE = timedelta(seconds=30)  # a heartbeat older than this belongs to a dead worker
MAX_CRASHES, MAX_KILLS = 3, 5  # at the same place; a kill is often the machine's doing and not the run's


def claim(run: Run, *, owner: str) -> None:
    """Take a queued run. StaleTransition when somebody else did."""
    now = timezone.now()
    advance(run, "running", attempt=F("attempt") + 1, owner=owner[:120], heartbeat_at=now, note="")
    Run.objects.filter(pk=run.pk, started_at__isnull=True).update(started_at=now)
    run.refresh_from_db()


def mine(run: Run) -> QuerySet[Run]:
    """The row, while this attempt may still write it."""
    return Run.objects.filter(pk=run.pk, status="running", **_held(run))


def _held(run: Run) -> dict[str, Any]:
    return {"attempt": run.attempt, "owner": run.owner}


def beat(run: Run, *, patience: timedelta = timedelta(0), **columns: Any) -> None:
    """Say that the attempt is alive, and will be silent for so long; StaleTransition when it no longer counts."""
    if not mine(run).update(heartbeat_at=timezone.now() + patience, **columns):
        raise StaleTransition("another attempt owns this run")


def put_back(run: Run, note: str, **columns: Any) -> None:
    """Back into the queue, for the next attempt; a run that is to be cancelled ends here instead."""
    try:
        if _cancelled(run):
            _end(run, "cancelled", note="Cancelled; its checkpoint is kept.")
        else:
            advance_held(run, "queued", _held(run), note=note[:500], **columns)
    except StaleTransition:
        log.info("run %s moved on by itself", run.pk)


def fail(run: Run, code: str, message: str, field: str | None = None) -> None:
    """The end, with its reason; nothing that the run made is used."""
    error = storable({"code": code, "message": message, **({"field": field} if field else {})})
    _end(run, "failed", error=error, note=error["message"][:500])


def give_up(run: Run, code: str, message: str) -> None:
    """`fail` the row as it stands (a transaction that was rolled back may have left another status in memory)."""
    if not mine(run).exists():
        log.warning("run %s: %s, but another attempt took over", run.pk, message)
        return
    run.status = "running"
    fail(run, code, message)


@transaction.atomic
def _end(run: Run, status: str, **columns: Any) -> None:
    advance_held(run, status, _held(run), finished_at=timezone.now(), **columns)
    told = {"error": columns["error"]} if columns.get("error") else {}
    events.record("run.finished", run, after={"status": status, **told})
    wake("rlhf.tasks.tick_loops")


@dataclass
class Ending:
    """How an engine ended: its exit code, the folder with its output, the log of this attempt alone."""

    code: int
    folder: Path
    log: str = ""
    moved_on: bool = False  # it reached steps that no attempt had reached by its last crash
    memory_kills: int = 0


def conclude(run: Run, ending: Ending) -> None:
    """What an exit code means for the row. StaleTransition when the attempt no longer counts."""
    code = _told(run, ending)
    if code == spec.EXIT_DONE:
        _finish(run, ending.folder)
    elif code == spec.EXIT_STOPPED:
        put_back(run, "Stopped with a checkpoint; going on.")
    elif code == spec.EXIT_USER_ERROR and (error := _read(ending.folder / "error.json")):
        words = str(error.get("message") or "The engine refused the run.")
        fail(run, str(error.get("code") or "error"), words, error.get("field") or None)
    elif code == spec.EXIT_LOCKED:
        put_back(run, "Another engine is still writing in this run's directory; waiting for it to end.")
    elif _cancelled(run):
        _end(run, "cancelled", note="Stopped by force; the last checkpoint is kept.")
    else:
        _crashed(run, ending)


def _told(run: Run, ending: Ending) -> int:
    """The engine's own code: torchrun turns every code but 0 into 1, so the engine leaves it in exit.json too."""
    said = _read(ending.folder / "exit.json") or {}
    told = said.get("code")
    return told if ending.code == 1 and said.get("attempt") == run.attempt and isinstance(told, int) else ending.code


def _crashed(run: Run, ending: Ending) -> None:
    """Try again where that may help, unless the engine has died several times at the same place."""
    reason = exit_reasons.explain(ending.code, ending.log, memory_kills=ending.memory_kills)
    crashes = 1 if ending.moved_on else run.crashes + 1
    if not reason.again:
        fail(run, reason.code, reason.message)
    elif crashes < (MAX_KILLS if reason.code == "killed" else MAX_CRASHES):
        put_back(run, f"{reason.message} Trying again from the last checkpoint.", crashes=crashes)
    else:
        fail(run, reason.code, f"{reason.message} That was {crashes} times at the same place; see the log.")


def _finish(run: Run, folder: Path) -> None:
    """Publish the output, then rows and status in one transaction; a second attempt finds the row done."""
    result = _read(folder / "result.json")
    if result is None or not (folder / "out").is_dir():
        fail(run, "no_output", "The engine ended well but left no output: its directory was deleted or changed.")
        return
    about = {"run": str(run.pk)}
    refer = run.kind == "external"
    digest = artifacts.publish(folder / "out", kind=run.kind, about=about, beat=Beats(run), refer=refer)
    with transaction.atomic():
        now, kept = timezone.now(), storable(result)
        advance_held(run, "done", _held(run), artifact=digest, result=kept, finished_at=now, note="", error=None)
        KINDS[run.kind].register(run, artifacts.path_of(digest), kept)
        events.record("run.finished", run, after={"status": "done", "artifact": digest})
        wake("rlhf.tasks.tick_loops")


class Beats:
    """`beat` for whoever calls it often: writes at most every few seconds."""

    EVERY = timedelta(seconds=5)

    def __init__(self, run: Run, patience: timedelta = timedelta(0)) -> None:
        self.run, self.patience, self.last = run, patience, timezone.now()

    def __call__(self) -> None:
        if timezone.now() - self.last > self.EVERY:
            beat(self.run, patience=self.patience)
            self.last = timezone.now()


def _cancelled(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, cancel_requested=True).exists()


def _read(path: Path) -> dict[str, Any] | None:
    """A small JSON object of the engine's; None when it is not there or not whole."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
