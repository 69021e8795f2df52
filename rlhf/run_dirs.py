"""The directory through which a run talks to its engine: laid out here, whoever then runs the engine in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.errors import PlumblineError

from . import artifacts, bases, digests
from .models import Run
from .run_kinds import KINDS

CACHE = "cache"  # an input that only saves time
# Of the base's size. Last: adapters and their checkpoints; weights, optimizer states and two checkpoints.
PER_BASE = {
    "convert": 0.0, "pretrain": 0.0, "generate": 0.05, "score": 0.05, "kl": 0.05, "reward": 0.1, "evaluate": 1.2,
}  # fmt: skip
LORA, FULL = 0.5, 8.0
SMALLEST = 50 * 2**20
CONVERTED = 700 * 2**20


def run_dir(run: Run) -> Path:
    """On this machine's own disk."""
    return Path(settings.PLUMBLINE_HOME) / "runs" / str(run.pk)


def lay_out(run: Run, folder: Path, beat: digests.Beat = digests.nothing) -> dict[str, Any]:
    """Fill the directory with `inputs/` and `spec.json`; returns the inputs by name and digest.

    Unavailable while an input is still being made; NotFound or BadInput when it cannot be had.
    """
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    KINDS[run.kind].lay_out(run, inputs)
    (folder / "stop").unlink(missing_ok=True)
    draft = folder / "spec.json.new"
    draft.write_text(json.dumps(spec_of(run), indent=1))
    draft.rename(folder / "spec.json")
    return inventory(inputs, beat)


def spec_of(run: Run) -> dict[str, Any]:
    """What stands in spec.json."""
    return {
        "kind": run.kind,
        "run": str(run.pk),
        "attempt": run.attempt,
        "seed": run.seed,
        "config": run.config,
    }


def inventory(inputs: Path, beat: digests.Beat = digests.nothing) -> dict[str, Any]:
    """What lies in `inputs/`: {name: {"artifact"} | {"directory"} | {"sha256", "bytes"}}, each a digest."""
    found: dict[str, Any] = {}
    for path in sorted(inputs.iterdir()):
        if path.name == CACHE:
            continue
        real, root = path.resolve(), artifacts.root().resolve()
        if path.is_dir() and real.is_relative_to(root):
            found[path.name] = {"artifact": real.relative_to(root).as_posix()}
        elif path.is_dir():
            found[path.name] = {"directory": digests.combined("directory", outside_files(real, beat))}
        elif path.is_file():
            found[path.name] = {"sha256": digests.sha256_of(path, beat), "bytes": path.stat().st_size}
    return found


def outside_files(folder: Path, beat: digests.Beat = digests.nothing) -> dict[str, str]:
    """Digests of the files of a directory that the settings name."""
    return digests.remembered(folder, Path(settings.PLUMBLINE_HOME) / "cache" / "digests", beat)


def held(folder: Path) -> bool:
    """Whether an engine, ours or one that outlived its worker, still writes in this directory."""
    try:
        handle = (folder / "lock").open("r")
    except FileNotFoundError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def lack_of_disk(run: Run) -> str:
    """Why the disk will not do for this run ("" when it will): an estimate, before anything is written."""
    home = Path(settings.PLUMBLINE_HOME)
    need, free = bytes_needed(run), shutil.disk_usage(home).free
    if free >= need:
        return ""
    return f"waiting for disk space: {_gigabytes(free)} free at {home}, this run may need {_gigabytes(need)}"


def bytes_needed(run: Run) -> int:
    """What the run will write, at most, and the reserve that PLUMBLINE_MIN_FREE_MB names."""
    own = CONVERTED if run.kind == "convert" else SMALLEST
    share = FULL if run.config.get("method") == "full" else PER_BASE.get(run.kind, LORA)
    return int(own + share * _weight_bytes(run) + settings.PLUMBLINE_MIN_FREE_MB * 2**20)


def _weight_bytes(run: Run) -> int:
    try:
        base = bases.path_of(run.base)
    except PlumblineError:
        return 0
    return sum(path.stat().st_size for path in base.glob("*.safetensors"))


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB"


def clear(folder: Path) -> None:
    """Throw away what a finished run no longer needs; spec, progress, result and log stay."""
    for name in ("checkpoints", "out", "inputs"):
        shutil.rmtree(folder / name, ignore_errors=True)


def slot() -> int | None:
    """A place among the runs that this machine carries out at once, as an open file; None when all are taken.

    The engine inherits it, so that the place is free only when worker and engine are both gone.
    """
    count = settings.PLUMBLINE_RUNS_PER_MACHINE
    folder = Path(settings.PLUMBLINE_HOME) / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        place = os.open(folder / f"slot-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(place)
        else:
            return place
    return None
