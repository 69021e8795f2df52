"""Sample answers at checkpoints: from the engine's samples.jsonl into rows, and from rows into a page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .models import Run, RunSample
from .progress import storable

SHOWN = 8  # prompts on a page


class Reader:
    """Reads a growing samples.jsonl: `copy` stores the whole lines since the last call."""

    def __init__(self, run: Run, path: Path) -> None:
        self.run, self.path, self.read = run, path, 0

    def copy(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == self.read:
            return
        with self.path.open("rb") as stream:
            stream.seek(self.read)
            whole, end, _ = stream.read().rpartition(b"\n")
        store(self.run, [row for line in whole.splitlines() if (row := _row(line))])
        self.read += len(whole) + len(end)  # only now: a database that was away is told again


def store(run: Run, rows: list[dict[str, Any]]) -> None:
    """Rows {"step", "prompt", "content"} into the database; the later answer to a prompt at a step wins."""
    found = {(row["prompt"], row["step"]): row for row in rows}
    RunSample.objects.bulk_create(
        [
            RunSample(
                run=run, step=row["step"], key=_key(row["prompt"]), prompt=storable(row["prompt"]),
                content=storable(row["content"]),
            )
            for row in found.values()
        ],
        update_conflicts=True, unique_fields=["run", "key", "step"], update_fields=["content"], batch_size=500,
    )  # fmt: skip


def table(run: Run) -> list[dict[str, Any]]:
    """For each prompt its answers by step: [{"prompt", "answers": [(step, content)]}]."""
    prompts: dict[str, dict[str, Any]] = {}
    for sample in run.samples.order_by("key", "step"):
        row = prompts.setdefault(sample.key, {"prompt": sample.prompt, "answers": []})
        row["answers"].append((sample.step, sample.content))
    return list(prompts.values())[:SHOWN]


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:32]


def _row(line: bytes) -> dict[str, Any] | None:
    """A line as a row; None for one that is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if is_row(row) else None


def is_row(row: Any) -> bool:
    """Whether this is {"step", "prompt", "content"} as `store` takes it."""
    good = isinstance(row, dict) and type(row.get("step")) is int and 0 <= row["step"] < 2**31
    return good and all(isinstance(row.get(name), str) for name in ("prompt", "content"))
