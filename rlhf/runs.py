"""Runs: ordered here, carried out by an engine child process, watched, and finished exactly once.

The row is the job. `execute` claims it (guarded, raising `attempt`), lays out the directory, starts the
launcher and copies progress into rows; only the current attempt may finish the row. `sweep` puts back
runs whose worker died and wakes those that wait.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
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
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from feedback import events
from feedback.errors import BadInput, Conflict, PlumblineError, StaleTransition, Unavailable
from feedback.lifecycle import advance
from feedback.models import Policy, User
from feedback.wake import wake

from . import artifacts, bases, spec
from .models import Decision, RewardDataset, RewardModel, Run, RunMetric
from .run_kinds import KINDS

log = logging.getLogger(__name__)
STALE = timedelta(seconds=30)  # a heartbeat older than this belongs to a dead worker
POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0  # between the stop file, SIGTERM and SIGKILL
MAX_CRASHES = 3
LOG_TAIL = 8000
TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft")


def start(
    *,
    kind: str,
    dataset: RewardDataset | None = None,
    policy: Policy | None = None,
    base: str = "",
    reward_model: RewardModel | None = None,
    config: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
    seed: int = 0,
    actor: User | None = None,
) -> Run:
    """Order a run. Everything that can be known to be wrong is refused here, by field; nothing starts then."""
    if kind not in KINDS:
        raise BadInput(f"kind: {kind!r} is none of {', '.join(KINDS)}.", where="kind")
    own = {"system_prompt": policy.system_prompt} if kind == "dpo" and policy else {}
    checked = check_config(kind, {**own, **(config or {})})
    base = base or (policy.base if policy else "") or (reward_model.base if reward_model else "")
    _check_references(kind, dataset, policy, base)
    with transaction.atomic():
        _order_starter(kind, base, actor)
        run = Run.objects.create(
            kind=kind, dataset=dataset, policy=policy, base=base, reward_model=reward_model, config=checked,
            inputs=inputs or {}, seed=seed, created_by=actor,
        )  # fmt: skip
        events.record("run.ordered", run, actor=actor, after={"kind": kind, "config": checked})
        wake("rlhf.tasks.run_job", str(run.pk))
    return run


def check_config(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """The config with its defaults written out; BadInput names the field."""
    try:
        checked = spec.parse_config(kind, config)
    except spec.SpecError as wrong:
        raise BadInput(f"{wrong.field}: {wrong.message}", where=wrong.field) from wrong
    return spec.to_json(spec.Spec(kind=kind, run="", attempt=1, seed=0, config=checked))["config"]


def _check_references(kind: str, dataset: RewardDataset | None, policy: Policy | None, base: str) -> None:
    if kind in ("reward",) and dataset is None:
        raise BadInput("dataset: this kind of run learns from a dataset.", where="dataset")
    if dataset is not None and dataset.status != "ready":
        raise Conflict(f"dataset: {dataset.name} is {dataset.status}, not ready.", where="dataset")
    if kind in ("generate", "dpo") and (policy is None or policy.kind != "local"):
        raise BadInput("base: name a local policy to start from.", where="base")
    if kind not in ("convert", "pretrain"):
        bases.require_known(base)


def _order_starter(kind: str, base: str, actor: User | None) -> None:
    """A starter model is made the first time that a run needs it."""
    needed = kind not in bases.STARTERS.values() and base in bases.STARTERS
    if needed and base not in bases.names() and bases.maker(base) is None:
        start(kind=bases.STARTERS[base], base=base, seed=1, actor=actor)


def cancel(*, run: Run, actor: User | None = None) -> Run:
    """Stop a run: at once when it waits, at its next step when it runs (a checkpoint is kept)."""
    with transaction.atomic():
        if run.status == "queued":
            advance(run, "cancelled", finished_at=timezone.now(), note="Cancelled before it started.")
        elif run.status == "running":
            Run.objects.filter(pk=run.pk, status="running").update(cancel_requested=True)
            run.cancel_requested = True
        else:
            raise Conflict(f"This run is {run.status}; there is nothing to cancel.", state=run.status)
        events.record("run.cancel_requested", run, actor=actor)
    return run


def resume(*, run: Run, actor: User | None = None) -> Run:
    """Put a failed or cancelled run back; it goes on from its last checkpoint."""
    with transaction.atomic():
        advance(run, "queued", cancel_requested=False, note="", error=None, crashes=0, finished_at=None)
        events.record("run.resumed", run, actor=actor)
        wake("rlhf.tasks.run_job", str(run.pk))
    (run_dir(run) / "stop").unlink(missing_ok=True)
    return run


def sweep() -> int:
    """Put back runs whose worker died, wake those that wait; returns how many wait."""
    for run in Run.objects.filter(status="running", heartbeat_at__lt=timezone.now() - STALE):
        _put_back(run, "The worker died; going on from the last checkpoint.")
    waiting = list(Run.objects.filter(status="queued").order_by("created_at").values_list("pk", flat=True)[:20])
    for pk in waiting:
        wake("rlhf.tasks.run_job", str(pk))
    return len(waiting)


def _put_back(run: Run, note: str) -> None:
    try:
        advance(run, "queued", note=note)
    except StaleTransition:
        log.info("run %s moved on by itself", run.pk)


def run_dir(run: Run) -> Path:
    return Path(settings.PLUMBLINE_HOME) / "runs" / str(run.pk)


def engine_missing() -> str:
    """Why no engine can start here ("" when it can): the training packages may still be on their way."""
    gone = [name for name in TRAINING_PACKAGES if importlib.util.find_spec(name) is None]
    return f"waiting for the training packages ({', '.join(gone)})" if gone else ""


def execute(*, run_id: Any) -> Run:
    """Carry out a queued run to its end. Of several callers one does; the others get the row as it stands."""
    run = Run.objects.select_related("policy", "dataset", "reward_model").get(pk=run_id)
    if run.status != "queued" or stopping() or not _ready_to_start(run):
        return run
    try:
        _claim(run)
    except StaleTransition:
        return run
    try:
        _lay_out(run)
        code = _supervise(run)
        _conclude(run, code)
    except StaleTransition:
        log.warning("run %s: another attempt took over", run.pk)
    except Unavailable as wait:
        _put_back(run, wait.message)
    except PlumblineError as wrong:
        _give_up(run, wrong.code, wrong.message)
    except OSError as broken:
        _give_up(run, "disk", f"{broken.strerror or broken}: {broken.filename or run_dir(run)}")
    return run


def _give_up(run: Run, code: str, message: str) -> None:
    """Fail the row as it stands (a transaction that was rolled back may have left another status in memory)."""
    if not _mine(run).exists():
        log.warning("run %s: %s, but another attempt took over", run.pk, message)
        return
    run.refresh_from_db()
    _fail(run, code, message)


def _ready_to_start(run: Run) -> bool:
    """Look before claiming, so that waiting does not use up attempts."""
    note = engine_missing()
    if not note and run.kind not in ("convert", "pretrain"):
        try:
            bases.path_of(run.base)
        except PlumblineError as wait:
            note = wait.message
    if note and note != run.note:
        Run.objects.filter(pk=run.pk, status="queued").update(note=note[:500])
    return not note


def _claim(run: Run) -> None:
    now = timezone.now()
    owner = f"{socket.gethostname()}:{os.getpid()}"
    claim = {"attempt": F("attempt") + 1, "owner": owner, "heartbeat_at": now, "note": ""}
    advance(run, "running", steps_at_claim=steps_seen(run), **claim)
    Run.objects.filter(pk=run.pk, started_at__isnull=True).update(started_at=now)
    run.refresh_from_db()


def _mine(run: Run) -> Any:
    """Rows that this attempt may still write: the guard against a second worker on the same run."""
    return Run.objects.filter(pk=run.pk, status="running", attempt=run.attempt, owner=run.owner)


def _lay_out(run: Run) -> None:
    folder = run_dir(run)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    KINDS[run.kind].lay_out(run, inputs)
    (folder / "stop").unlink(missing_ok=True)
    body = {
        "kind": run.kind,
        "run": str(run.pk),
        "attempt": run.attempt,
        "seed": run.seed,
        "config": run.config,
    }
    temporary = folder / "spec.json.new"
    temporary.write_text(json.dumps(body, indent=1))
    temporary.rename(folder / "spec.json")


def command(run: Run) -> list[str]:
    """The launcher's template with this run filled in."""
    words = shlex.split(settings.PLUMBLINE_LAUNCHER)
    return [word.format(python=sys.executable, run_dir=run_dir(run), run=run.pk) for word in words]


def _supervise(run: Run) -> int:
    """Start the launcher and stay with it: progress, heartbeat, cancel. Returns the exit code."""
    folder = run_dir(run)
    environment = {
        **os.environ,
        "PLUMBLINE_SUPERVISED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    with (folder / "log.txt").open("ab") as output:
        child = subprocess.Popen(
            command(run), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=settings.BASE_DIR,
            env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        return _watch(run, child)
    finally:
        _kill_group(child, signal.SIGKILL)  # whatever the launcher left behind
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def _watch(run: Run, child: subprocess.Popen[bytes]) -> int:
    progress = Progress(run)
    asked_at = None
    while True:
        code = child.poll()
        progress.copy()
        if not _mine(run).update(heartbeat_at=timezone.now(), log_tail=_log_tail(run)):
            raise StaleTransition("another attempt owns this run")
        if code is not None:
            return code
        if asked_at is None and _should_stop(run):
            asked_at = time.monotonic()
            (run_dir(run) / "stop").touch()
        if asked_at is not None:
            _insist(child, time.monotonic() - asked_at)
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


def steps_seen(run: Run) -> int:
    """How many different steps of this run any attempt has reached; doing one again adds nothing."""
    path = run_dir(run) / "progress.jsonl"
    if not path.exists():
        return 0
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return len({(row.get("phase"), row["step"]) for row in map(json.loads, whole.splitlines()) if row})


class Progress:
    """Copies new lines of progress.jsonl into rows. A partial last line waits; the later line of a step wins."""

    def __init__(self, run: Run) -> None:
        self.run, self.path, self.read = run, run_dir(run) / "progress.jsonl", 0

    def copy(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self.read)
            whole, _, _ = stream.read().rpartition(b"\n")
        self.read += len(whole) + 1 if whole else 0
        rows = [json.loads(line) for line in whole.splitlines() if line.strip()]
        if not rows:
            return
        self._store(rows)
        last = rows[-1]
        state = {
            "step": last["step"],
            "total_steps": last["total"],
            "phase": str(last.get("phase") or "")[:80],
        }
        _mine(self.run).update(**state)

    def _store(self, rows: list[dict[str, Any]]) -> None:
        found = {
            (name, row["step"]): RunMetric(
                run=self.run, step=row["step"], name=name[:60], value=value, at=_moment(row["at"])
            )
            for row in rows
            for name, value in row.get("metrics", {}).items()
            if isinstance(value, int | float) and value == value
        }
        RunMetric.objects.bulk_create(
            found.values(), update_conflicts=True, unique_fields=["run", "name", "step"], update_fields=["value", "at"],
            batch_size=500,
        )  # fmt: skip


def _moment(at: Any) -> Any:
    if isinstance(at, int | float):
        return timezone.datetime.fromtimestamp(at, tz=timezone.get_default_timezone())  # type: ignore[attr-defined]
    return parse_datetime(at) or timezone.now()


def _log_tail(run: Run) -> str:
    path = run_dir(run) / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_TAIL))
        return stream.read().decode("utf-8", "replace").replace("\x00", "")


def _conclude(run: Run, code: int) -> None:
    """What an exit code means for the row."""
    if code == spec.EXIT_DONE:
        _finish(run)
    elif code == spec.EXIT_STOPPED:
        _stopped(run)
    elif code == spec.EXIT_USER_ERROR:
        error = json.loads((run_dir(run) / "error.json").read_text())
        _fail(
            run,
            error.get("code", "error"),
            error.get("message", "The engine refused the run."),
            error.get("field"),
        )
    elif code == spec.EXIT_LOCKED:
        _put_back(run, "Another engine is still writing in this run's directory; waiting for it to end.")
    elif run.cancel_requested or Run.objects.filter(pk=run.pk, cancel_requested=True).exists():
        advance(
            run,
            "cancelled",
            finished_at=timezone.now(),
            note="Stopped by force; the last checkpoint is kept.",
        )
    else:
        _crashed(run, _exit_words(code))


def _crashed(run: Run, how: str) -> None:
    """Try again, unless the engine has died several times at the same place; new steps start the count anew."""
    crashes = 1 if steps_seen(run) > run.steps_at_claim else run.crashes + 1
    if crashes < MAX_CRASHES:
        note = f"The engine ended unexpectedly ({how}); trying again from the last checkpoint."
        advance(run, "queued", note=note, crashes=crashes)
    else:
        _fail(run, "crash", f"The engine ended unexpectedly {crashes} times ({how}); see the log.")


def _exit_words(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed, often for want of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _stopped(run: Run) -> None:
    if Run.objects.filter(pk=run.pk, cancel_requested=True).exists():
        advance(run, "cancelled", finished_at=timezone.now(), note="Cancelled; its checkpoint is kept.")
        events.record("run.finished", run, after={"status": "cancelled"})
    else:
        _put_back(run, "Stopped with a checkpoint; going on.")


def _fail(run: Run, code: str, message: str, field: str | None = None) -> None:
    error = {"code": code, "message": message, **({"field": field} if field else {})}
    with transaction.atomic():
        advance(run, "failed", finished_at=timezone.now(), error=error, note=message[:500])
        events.record("run.finished", run, after={"status": "failed", "error": error})


def _finish(run: Run) -> None:
    """Publish the output, then rows and status in one transaction; a second attempt finds the row done."""
    folder = run_dir(run)
    result = json.loads((folder / "result.json").read_text())
    digest = artifacts.publish(folder / "out", kind=run.kind, about={"run": str(run.pk)})
    with transaction.atomic():
        if not _mine(run).exists():
            raise StaleTransition("another attempt owns this run")
        now = timezone.now()
        advance(run, "done", artifact=digest, result=result, finished_at=now, note="", error=None)
        KINDS[run.kind].register(run, artifacts.path_of(digest), result)
        events.record("run.finished", run, after={"status": "done", "artifact": digest})
        wake("rlhf.tasks.tick_loops")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def lineage(run: Run) -> dict[str, list[str]]:
    """What a run stands on and what came of it, by public id."""
    made = RewardModel.objects.filter(run=run).values_list("slug", flat=True)
    produced = [run.produced_policy.slug] if run.produced_policy else []
    decisions = Decision.objects.filter(candidate__slug__in=produced)
    return {
        "from": [str(x) for x in (run.dataset and run.dataset.digest, run.policy and run.policy.slug, run.base) if x],
        "made": [*made, *produced],
        "decided": [str(d.pk) for d in decisions],
    }
