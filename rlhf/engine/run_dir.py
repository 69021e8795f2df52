"""The run directory: everything that a job and its supervisor tell each other.

In: `spec.json`, `inputs/<name>`, `stop`. Out: `lock`, `progress.jsonl`, `checkpoints/`, `out/`, then
`result.json` last, or `error.json` when the user must change something.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any


class UserError(Exception):
    """The job cannot succeed until its owner changes something (exit 20)."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field


class Stopped(Exception):
    """The stop file appeared; what was done so far lies in `checkpoints/` (exit 10)."""


class Locked(Exception):
    """Another engine works in this directory (exit 75)."""


def is_main() -> bool:
    """Whether this process speaks for the job: the only one, or the first of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


class RunDir:
    """Paths and small files of one job. Nothing in here knows what the job does.

    Of several processes of one job only the first holds the lock, reports progress and publishes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.out = path / "out"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process. Locked when somebody else does; the kernel frees it at death."""
        if not is_main():
            yield
            return
        with (self.path / "lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Locked(str(self.path)) from error
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            yield

    def input(self, name: str) -> Path:
        """The path of an input that must exist. UserError `missing_input` otherwise."""
        path = self.path / "inputs" / name
        if not path.exists():
            raise UserError("missing_input", f"inputs/{name} does not exist", f"inputs/{name}")
        return path

    def optional_input(self, name: str) -> Path | None:
        """The path of an input, or None where the supervisor gave none."""
        path = self.path / "inputs" / name
        return path if path.exists() else None

    def check_stop(self) -> None:
        """Raise Stopped once the stop file is there."""
        if self.stop_requested():
            raise Stopped

    def stop_requested(self) -> bool:
        """Whether somebody asked this job to end early."""
        return (self.path / "stop").exists()

    def progress(self, step: int, total: int, metrics: dict[str, float] | None = None, phase: str = "") -> None:
        """Append one line to progress.jsonl. After a resume the later line of a step wins."""
        if not is_main():
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"step": step, "total": total, "at": at, "metrics": metrics or {}}
        if phase:
            line["phase"] = phase
        append_line(self.path / "progress.jsonl", line)

    @contextmanager
    def publishing(self) -> Iterator[Path]:
        """A fresh directory that becomes `out/` only when the block ends well."""
        if not is_main():
            with tempfile.TemporaryDirectory() as nowhere:
                yield Path(nowhere)
            return
        draft = self.path / "out.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        yield draft
        for path in draft.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some writers leave files that only we could read
        shutil.rmtree(self.out, ignore_errors=True)
        draft.rename(self.out)

    def write_json(self, name: str, data: dict[str, Any]) -> None:
        """Write a small file in one move: it is there and whole, or not there."""
        write_atomically(self.path / name, json.dumps(data, indent=1, sort_keys=True).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` in one move; the temporary name is private to this process."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append a JSON line and flush it. A line cut short by a kill is ended first, so that it stays alone."""
    with path.open("ab+") as handle:
        _end_last_line(handle)
        handle.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _end_last_line(handle: IO[bytes]) -> None:
    if handle.seek(0, os.SEEK_END) == 0:
        return
    handle.seek(-1, os.SEEK_END)
    if handle.read(1) != b"\n":
        handle.write(b"\n")


def read_lines(path: Path) -> list[Any]:
    """Every whole JSON line of a file; a line cut short by a kill is passed over. No file, no lines."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def read_rows(path: Path, required: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of an input JSONL. UserError `bad_input` names file and line when one is malformed or lacks a key."""
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            missing = [key for key in required if key not in row]
        except (ValueError, TypeError) as error:
            raise _bad_line(path, number, f"is not JSON ({error})") from error
        if missing:
            raise _bad_line(path, number, f"lacks {', '.join(missing)}")
        rows.append(row)
    if not rows:
        raise UserError("empty_input", f"inputs/{path.name} holds no rows", f"inputs/{path.name}")
    return rows


def _bad_line(path: Path, number: int, reason: str) -> UserError:
    return UserError("bad_input", f"inputs/{path.name} line {number} {reason}", f"inputs/{path.name}:{number}")
