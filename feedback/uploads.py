"""Files handed in on a page: shown first with their columns, then brought in by a worker while a bar moves.

JSON lines or CSV, gzipped or not. A mapping says which column is which of our fields; the rows are rewritten as
lines of `prompt_files` and imported by its verb, so a file from a page and one from a command are the same thing.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from . import events, prompt_files
from .errors import BadInput, PlumblineError, StaleTransition
from .lifecycle import advance
from .models import ImportBatch, Queue, User
from .wake import wake

FIELDS = {
    "prompt": "The question, as one user turn",
    "messages": "The conversation, as a list of messages",
    "response_a": "First answer",
    "response_b": "Second answer",
    "policy_a": "Who wrote the first answer",
    "policy_b": "Who wrote the second answer",
    "external_id": "Your own number for it",
    "language": "Language of the item",
    "skill": "Skill that it takes",
    "gold": "The known answer: A, B, tie or both_bad",
}
GUESSES = {
    "prompt": ("prompt", "question", "instruction", "input", "query"), "messages": ("messages", "conversation"),
    "response_a": ("response_a", "answer_a", "chosen", "response1", "response_1", "output_1", "a"),
    "response_b": ("response_b", "answer_b", "rejected", "response2", "response_2", "output_2", "b"),
    "policy_a": ("policy_a", "model_a"), "policy_b": ("policy_b", "model_b"),
    "external_id": ("external_id", "id", "idx"), "language": ("language", "lang"), "skill": ("skill", "domain"),
    "gold": ("gold", "label", "winner"),
}  # fmt: skip
SHOWN = 5
AUTHOR = "import-file"  # who wrote answers whose author the file does not name
SILENT = timedelta(seconds=60)  # without a heartbeat a worker counts as gone
Row = dict[str, Any]


def folder() -> Path:
    path = Path(settings.PLUMBLINE_ARTIFACTS) / "uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def receive(*, queue: Queue, file: IO[bytes], name: str, actor: User | None = None) -> ImportBatch:
    """Keep the file and guess which column is which. Raises BadInput where it has no rows that can be read."""
    kept = f"{uuid.uuid4().hex}{''.join(Path(name).suffixes[-2:])[:20].lower()}"
    path = folder() / kept
    with path.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    try:
        columns, lines = _columns(path)
    except PlumblineError:
        path.unlink()
        raise
    with transaction.atomic():
        batch = ImportBatch.objects.create(
            queue=queue, name=Path(name).name[:300], format="file", status="uploaded", upload=kept, actor=actor,
            lines_all=lines, mapping=guess(columns),
        )  # fmt: skip
        events.record("import.uploaded", queue, actor=actor, after={"file": batch.name, "lines": lines})
    return batch


def guess(columns: list[str]) -> dict[str, str]:
    """Our field -> the column that is called like it."""
    lower = {column.lower().strip(): column for column in columns}
    found = {}
    for field, names in GUESSES.items():
        column = next((lower[name] for name in names if name in lower), None)
        if column is not None:
            found[field] = column
    return found


def preview(batch: ImportBatch) -> tuple[list[str], list[Row]]:
    """The columns, and the first rows as they stand in the file."""
    rows = [row for _, row, _ in _first(rows_of(folder() / batch.upload), SHOWN)]
    return list(dict.fromkeys(column for row in rows for column in row)), rows


def _first(rows: Iterator[Any], n: int) -> list[Any]:
    return [row for row, _ in zip(rows, range(n), strict=False)]


def _columns(path: Path) -> tuple[list[str], int]:
    columns: dict[str, None] = {}
    lines = good = 0
    for _, row, _ in rows_of(path):
        lines += 1
        if row and good < SHOWN:
            good += 1
            columns.update(dict.fromkeys(row))
    if not columns:
        raise BadInput("file: no line of it is a JSON object, nor a row under a head of column names.", where="file")
    return list(columns), lines


def rows_of(path: Path) -> Iterator[tuple[int, Row, str]]:
    """(line, row, what is wrong with it) of each line that is not blank."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as opened, io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as text:
            if ".csv" in path.suffixes:
                reader = csv.DictReader(text)
                yield from ((reader.line_num, {k: v for k, v in row.items() if k}, "") for row in reader)
            else:
                yield from _json_rows(text)
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as broken:
        raise BadInput(f"file: it cannot be read as text ({broken}).", where="file")


def _json_rows(text: IO[str]) -> Iterator[tuple[int, Row, str]]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        yield (number, row, "") if isinstance(row, dict) else (number, {}, "not a JSON object")


def order(*, batch: ImportBatch, mapping: dict[str, str], actor: User | None = None) -> None:
    """Send the file to a worker. Raises BadInput where the mapping names no question, or a column that is not there."""
    columns, _ = preview(batch)
    mapping = {field: column for field, column in mapping.items() if column}
    for field, column in mapping.items():
        if field not in FIELDS or column not in columns:
            raise BadInput(f"{field}: the file has no column {column!r}.", where=field)
    if not mapping.keys() & {"prompt", "messages"}:
        raise BadInput("prompt: say which column holds the question.", where="prompt")
    if len(mapping.keys() & {"response_a", "response_b"}) == 1:
        raise BadInput("response_b: answers come in pairs; map both or neither.", where="response_b")
    with transaction.atomic():
        advance(batch, "queued", mapping=mapping, lines_done=0, report={})
        events.record("import.ordered", batch.queue, actor=actor, after={"file": batch.name, "mapping": mapping})
        wake("feedback.tasks.import_file", batch.pk)


def execute(*, batch_id: int) -> None:
    """Bring a queued file in; a batch that another worker has taken is left alone. Beat calls it for orphans too."""
    batch = ImportBatch.objects.select_related("queue", "actor").get(pk=batch_id)
    try:
        advance(batch, "staging", heartbeat_at=timezone.now())
    except (StaleTransition, PlumblineError):
        return
    source = folder() / batch.upload
    lines = source.with_suffix(".lines.jsonl")
    try:
        bad = _rewrite(source, lines, batch.mapping)
        if bad:
            raise prompt_files.BadFile(bad)
        done = prompt_files.import_prompts(
            path=lines, queue=batch.queue, actor=batch.actor, progress=lambda n: _beat(batch, n)
        )
    except prompt_files.BadFile as wrong:
        advance(batch, "failed", report={"error": wrong.message, "lines": wrong.lines[:20], "bad": len(wrong.lines)})
    except (PlumblineError, OSError) as wrong:
        advance(batch, "failed", report={"error": getattr(wrong, "message", str(wrong))})
    else:
        report = {"prompts": done.prompts, "existing": done.existing, "items": done.items, "gate": done.gate}
        with transaction.atomic():
            advance(batch, "done", report=report, lines_done=batch.lines_all)
            events.record("import.done", batch.queue, actor=batch.actor, after={"file": batch.name, **report})
        source.unlink(missing_ok=True)
    finally:
        lines.unlink(missing_ok=True)


def _beat(batch: ImportBatch, done: int) -> None:
    ImportBatch.objects.filter(pk=batch.pk).update(lines_done=done, heartbeat_at=timezone.now())


def _rewrite(source: Path, target: Path, mapping: dict[str, str]) -> list[str]:
    """The rows as lines of `prompt_files`; returns what is wrong with those that cannot be."""
    bad = []
    with target.open("w", encoding="utf-8") as out:
        for line, row, wrong in rows_of(source):
            if not wrong:
                try:
                    out.write(json.dumps(as_line(row, mapping), ensure_ascii=True) + "\n")
                    continue
                except BadInput as error:
                    wrong = error.message
            bad.append(f"line {line}: {wrong}")
    return bad


def as_line(row: Row, mapping: dict[str, str]) -> Row:
    """A row of the file as a line of `prompt_files`. Raises BadInput naming the column."""
    given = {field: row.get(column) for field, column in mapping.items()}
    made: Row = {"metadata": {k: v for k, v in row.items() if k not in mapping.values() and v not in (None, "")}}
    if given.get("messages"):
        made["messages"] = _messages(given["messages"], mapping["messages"])
    else:
        made["messages"] = [{"role": "user", "content": _text(given.get("prompt"), mapping.get("prompt", "prompt"))}]
    if "response_a" in mapping:
        made["responses"] = [
            {
                "content": _text(given[f"response_{side}"], mapping[f"response_{side}"]),
                "policy": str(given.get(f"policy_{side}") or AUTHOR), "draw": n,
            }
            for n, side in enumerate("ab")
        ]  # fmt: skip
    for name in ("external_id", "language", "skill"):
        if given.get(name) not in (None, ""):
            made[name] = str(given[name])
    if given.get("gold") not in (None, ""):
        made["gold"] = given["gold"] if isinstance(given["gold"], dict) else {"choice": str(given["gold"]).strip()}
    return made


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{column}: expected text.", where=column)
    return value


def _messages(value: Any, column: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise BadInput(f"{column}: expected a list of messages.", where=column)
    return value


def sweep() -> int:
    """Start what waits, and put back what lost its worker; returns how many were started."""
    silent = timezone.now() - SILENT
    lost = ImportBatch.objects.filter(status="staging", format="file", heartbeat_at__lt=silent)
    for batch in lost:
        try:
            advance(batch, "queued")
        except StaleTransition:
            continue
    waiting = list(ImportBatch.objects.filter(status="queued", format="file").values_list("pk", flat=True)[:1])
    for pk in waiting:
        execute(batch_id=pk)
    return len(waiting)
