"""What an engine reports while it works: steps and figures into rows, the end of its log into the run."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from .models import Run, RunMetric

LOG_TAIL = 8000


def store(run: Run, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of progress lines as rows, the later line of a step winning; returns the columns of the run to set."""
    found = {
        (name, line["step"]): RunMetric(run=run, step=line["step"], name=name[:60], value=value, at=_moment(line))
        for line in lines
        for name, value in (line.get("metrics") or {}).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    RunMetric.objects.bulk_create(
        found.values(), update_conflicts=True, unique_fields=["run", "name", "step"], update_fields=["value", "at"],
        batch_size=500,
    )  # fmt: skip
    if not lines:
        return {}
    last = lines[-1]
    return {"step": last["step"], "total_steps": last["total"], "phase": storable(str(last.get("phase") or ""))[:80]}


def parse(content: bytes) -> list[dict[str, Any]]:
    """The whole lines of a progress file; what a kill cut short, or what is no progress line, is passed over."""
    rows = []
    for line in content.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if is_line(row):
            rows.append(row)
    return rows


def is_line(row: Any) -> bool:
    """Whether this is {"step", "total", "metrics"?, "at"?, "phase"?} with counts that a row can hold."""
    if not isinstance(row, dict) or not isinstance(row.get("metrics") or {}, dict):
        return False
    return all(type(row.get(name)) is int and 0 <= row[name] < 2**31 for name in ("step", "total"))


class Reader:
    """Reads a growing progress.jsonl: `new` gives the whole lines since the last call."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0

    def new(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self.read)
            whole, end, _ = stream.read().rpartition(b"\n")
        self.read += len(whole) + len(end)
        return parse(whole)


def steps_seen(folder: Path) -> int:
    """How many different steps any attempt in this directory has reached; doing one again adds nothing."""
    path = folder / "progress.jsonl"
    rows = parse(path.read_bytes().rpartition(b"\n")[0]) if path.exists() else []
    return len({(row.get("phase"), row["step"]) for row in rows})


def log_tail(folder: Path, since: int = 0) -> str:
    """The end of the log, but nothing of it before byte `since`."""
    path = folder / "log.txt"
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(since, path.stat().st_size - LOG_TAIL))
        return storable(stream.read().decode("utf-8", "replace"))


def storable(data: Any) -> Any:
    """The same JSON as a database takes it: no NUL in text, null for numbers that are none."""
    if isinstance(data, str):
        return data.replace("\x00", "")
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, list):
        return [storable(item) for item in data]
    if isinstance(data, dict):
        return {storable(str(name)): storable(value) for name, value in data.items()}
    return data


def _moment(line: dict[str, Any]) -> datetime:
    at = line.get("at")
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, tz=UTC)
    return (parse_datetime(at) if isinstance(at, str) else None) or timezone.now()
