"""Runs carried out elsewhere, by a puller that has neither our database nor our broker, only HTTP.

It pulls a queued run of its queue (a claim like any other), reads the inputs file by file, reports progress, puts the
output file by file, and concludes. Whatever it says names the run's `attempt`; that of an attempt which was given to
somebody else meanwhile is refused with StaleTransition. What it puts is looked at only when it is complete and every
digest is right.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from feedback.errors import BadInput, NotFound, PlumblineError, StaleTransition, Unavailable

from . import artifacts, attempts, digests, progress, run_dirs, run_samples, spec
from .models import Run

OWNER = "pull:"
PATIENCE = timedelta(seconds=90)  # on top of what a worker of ours may be silent: networks have pauses
LAY_OUT = timedelta(minutes=10)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*(/[A-Za-z0-9_][A-Za-z0-9_.+@-]*){0,8}")
ROWS = Run.objects.select_related("policy", "dataset", "reward_model")


def pull(*, queue: str, worker: str) -> Run | None:
    """The oldest run that waits in the queue and can start, claimed and laid out; None when there is none."""
    waiting = ROWS.filter(status="queued", worker_queue=queue, kind__in=spec.KINDS).order_by("created_at")
    for run in waiting[:20]:
        try:
            attempts.claim(run, owner=f"{OWNER}{worker}")
        except StaleTransition:
            continue
        if _laid_out(run):
            return run
    return None


def _laid_out(run: Run) -> bool:
    """Whether the run is ready to be handed over; if not, the row says why."""
    try:
        attempts.beat(run, patience=LAY_OUT)
        inputs = run_dirs.lay_out(run, run_dirs.run_dir(run), attempts.Beats(run, LAY_OUT))
        attempts.beat(run, patience=PATIENCE, stands_on=inputs)
        run.stands_on = inputs
        for old in artifacts.root().glob(f".incoming-{run.pk}-*"):
            shutil.rmtree(old, ignore_errors=True)
    except StaleTransition:
        return False
    except Unavailable as wait:
        attempts.put_back(run, wait.message)
        return False
    except PlumblineError as wrong:
        attempts.give_up(run, wrong.code, wrong.message)
        return False
    except OSError as broken:
        attempts.give_up(run, "disk", f"{broken.strerror or broken}: {broken.filename}")
        return False
    return True


def held(*, run_id: UUID, attempt: int) -> Run:
    """The run, as long as this attempt of a puller counts. NotFound, or StaleTransition when it does not."""
    run = ROWS.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    if run.status != "running" or run.attempt != attempt or not run.owner.startswith(OWNER):
        raise StaleTransition("This attempt no longer counts: the run has ended or was given to another worker.")
    return run


def files(run: Run) -> list[dict[str, Any]]:
    """The inputs, one entry a file: {"name", "sha256", "bytes"}."""
    found = []
    for name, entry in sorted(run.stands_on.items()):
        if "sha256" in entry:
            found.append({"name": name, "sha256": entry["sha256"], "bytes": entry["bytes"]})
            continue
        folder = _inputs(run) / name
        for below, digest in _digests(entry, folder).items():
            size = (folder / below).stat().st_size
            found.append({"name": f"{name}/{below}", "sha256": digest, "bytes": size})
    return found


def _digests(entry: dict[str, str], folder: Path) -> dict[str, str]:
    if "directory" in entry:
        return run_dirs.outside_files(folder.resolve())
    if "/" in entry["artifact"]:  # a part of an artifact
        return digests.files_of(folder)
    manifest = json.loads((folder / artifacts.MANIFEST).read_text())
    known: dict[str, str] = manifest["files"]
    return known


def _inputs(run: Run) -> Path:
    """Where the inputs lie; another machine's web process may have laid them out, so perhaps they are still to come."""
    folder = run_dirs.run_dir(run)
    if not (folder / "spec.json").exists():
        run_dirs.lay_out(run, folder)
    return folder / "inputs"


def input_file(run: Run, name: str) -> Path:
    """One file of the inputs. NotFound when the run has none of that name."""
    if name not in {entry["name"] for entry in files(run)}:
        raise NotFound(f"This run has no input {name}.")
    return _inputs(run) / name


def report(run: Run, *, lines: list[Any], log: str, samples: list[Any] | None = None) -> bool:
    """Progress, sample answers and a sign of life; returns whether the run is to stop (with a checkpoint)."""
    columns = progress.store(run, [line for line in lines if progress.is_line(line)])
    run_samples.store(run, [row for row in samples or [] if run_samples.is_row(row)])
    if log:
        columns["log_tail"] = progress.storable(log)[-progress.LOG_TAIL :]
    attempts.beat(run, patience=PATIENCE, **columns)
    return Run.objects.filter(pk=run.pk, cancel_requested=True).exists()


def incoming(run: Run) -> Path:
    """Where the output gathers: beside the artifacts, since web processes on several machines share those."""
    return artifacts.root() / f".incoming-{run.pk}-{run.attempt}"


def receive(run: Run, *, name: str, sha256: str, chunks: Iterable[bytes]) -> None:
    """One file of the output. BadInput when its name leads elsewhere or its digest is another."""
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name of an output file.", where="name")
    path = incoming(run) / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    beat = attempts.Beats(run, PATIENCE)
    with draft.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            beat()
    if digests.sha256_of(draft, beat) != sha256:
        draft.unlink()
        raise BadInput(f"{name}: what arrived has another sha256 than announced; send it again.", where=name)
    draft.replace(path)


def conclude(
    *,
    run_id: UUID,
    attempt: int,
    code: int,
    outputs: dict[str, str],
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
    log: str = "",
    moved_on: bool = False,
) -> Run:
    """The end of the attempt, by the engine's exit code; `outputs` names every file put, with its digest.

    Said twice it is heard once. BadInput when a file is missing or another one.
    """
    run = ROWS.filter(pk=run_id, attempt=attempt).exclude(status="running").first()
    if run is not None and run.owner.startswith(OWNER):
        return run
    run = held(run_id=run_id, attempt=attempt)
    folder = incoming(run)
    folder.mkdir(parents=True, exist_ok=True)
    if code == spec.EXIT_DONE:
        _check_outputs(folder / "out", outputs, attempts.Beats(run, PATIENCE))
    for name, content in (("result.json", result), ("error.json", error)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    if log:
        attempts.beat(run, patience=PATIENCE, log_tail=progress.storable(log)[-progress.LOG_TAIL :])
    _end(run, attempts.Ending(code=code, folder=folder, log=log, moved_on=moved_on))
    shutil.rmtree(folder, ignore_errors=True)
    if run.status == "done":
        run_dirs.clear(run_dirs.run_dir(run))
    return run


def _end(run: Run, ending: attempts.Ending) -> None:
    try:
        attempts.conclude(run, ending)
    except StaleTransition:
        raise
    except PlumblineError as wrong:
        attempts.give_up(run, wrong.code, wrong.message)
    except OSError as broken:
        attempts.give_up(run, "disk", f"{broken.strerror or broken}: {broken.filename or settings.PLUMBLINE_ARTIFACTS}")
    run.refresh_from_db()


def _check_outputs(out: Path, outputs: dict[str, str], beat: digests.Beat) -> None:
    there = digests.files_of(out, beat) if out.is_dir() else {}
    for name in sorted({*there, *outputs}):
        if there.get(name) != outputs.get(name):
            found = "is another one" if name in outputs else "was not announced"
            raise BadInput(f"The output {name} {found if name in there else 'did not arrive'}.", where=name)
