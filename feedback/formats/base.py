"""What every reader shares: its two results, and JSON lines read in bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from feedback.clean_text import BadText, check_messages, clean

LONGEST_LINE = 5_000_000  # bytes; more is never read into memory at once
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

Source = Path | str | BinaryIO
LARGEST_DOCUMENT = 500_000_000  # bytes of a file that is one JSON list: it is read whole


class NotAPair(ValueError):
    """Why a row is none; one of few phrases."""


@dataclass(frozen=True)
class ParsedPair:
    """One comparison: the prompt's messages (the last one a user's) and two different answers to it."""

    line: int
    messages: list[dict[str, str]]
    chosen: str
    rejected: str
    verdict: str = "better"  # or "tie", "both_bad": then `chosen` and `rejected` are just two answers
    annotator: str = ""
    strength: int | None = None


@dataclass(frozen=True)
class BadLine:
    """A line that is no pair. `reason` is one of few phrases, so that reasons can be counted.

    `ends`: the file could not be read any further.
    """

    line: int
    reason: str
    ends: bool = False


def json_objects(source: Source, longest: int = LONGEST_LINE) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    """(line number, object) or BadLine for each line that is not blank, of a file plain or gzipped.

    A stream must be binary and seekable (an open file, BytesIO); it stays open.
    """
    for numbered in _lines(source, longest):
        yield numbered if isinstance(numbered, BadLine) else _parse(*numbered)


def _parse(line: int, raw: bytes) -> tuple[int, dict[str, Any]] | BadLine:
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return BadLine(line, "it is not UTF-8")
    except (ValueError, RecursionError):
        return BadLine(line, "it is not valid JSON")
    return (line, value) if isinstance(value, dict) else BadLine(line, "it is not a JSON object")


def _lines(source: Source, longest: int) -> Iterator[tuple[int, bytes] | BadLine]:
    if isinstance(source, Path | str):
        with open(source, "rb") as file:
            yield from _lines(file, longest)
        return
    stream = _plain(source)
    line = 0
    try:
        while raw := stream.readline(longest + 1):
            line += 1
            if line == 1 and raw.startswith(UTF16_BOMS):
                yield BadLine(line, "the file is UTF-16, not UTF-8", ends=True)
                return
            raw = raw.removeprefix(BOM) if line == 1 else raw
            if len(raw) > longest and not raw.endswith(b"\n"):
                _skip_line(stream)
                yield BadLine(line, f"it is longer than {longest / 1e6:g} MB")
            elif raw.strip():
                yield line, raw
    except EOFError:
        yield BadLine(line + 1, "the gz file is cut short", ends=True)
    except (OSError, zlib.error):
        yield BadLine(line + 1, "the file is damaged", ends=True)


def _plain(source: BinaryIO) -> BinaryIO:
    """The stream, unpacked where its first bytes say gzip, whatever its name."""
    start = source.read(2)
    source.seek(-len(start), io.SEEK_CUR)
    return gzip.GzipFile(fileobj=source) if start == GZIP_MAGIC else source  # type: ignore[return-value]


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(65_536)) and not rest.endswith(b"\n"):
        pass


def rows(source: Source) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    """(line or row number, object) of a file of JSON lines, one JSON list, CSV, TSV or parquet, as its name and
    first byte say."""
    name = str(source) if isinstance(source, Path | str) else ""
    if name.endswith(".parquet"):
        yield from _parquet(Path(name))
    elif name.endswith((".csv", ".tsv")):
        yield from _separated(Path(name), "\t" if name.endswith(".tsv") else ",")
    elif name and _first_byte(Path(name)) == b"[":
        yield from _document(Path(name))
    else:
        yield from json_objects(source)


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        try:
            return _plain(file).read(64).removeprefix(BOM).lstrip()[:1]
        except (OSError, EOFError, zlib.error):
            return b""


def _document(path: Path) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    with path.open("rb") as file:
        try:
            raw = _plain(file).read(LARGEST_DOCUMENT + 1)
            if len(raw) > LARGEST_DOCUMENT:
                yield BadLine(1, f"the list is larger than {LARGEST_DOCUMENT // 10**6} MB; use JSON lines", ends=True)
                return
            found = json.loads(raw.removeprefix(BOM).decode("utf-8"))
        except UnicodeDecodeError:
            yield BadLine(1, "it is not UTF-8", ends=True)
            return
        except (ValueError, RecursionError):
            yield BadLine(1, "it is not valid JSON", ends=True)
            return
        except (EOFError, OSError, zlib.error):
            yield BadLine(1, "the file is damaged", ends=True)
            return
    for number, row in enumerate(found, start=1):
        yield (number, row) if isinstance(row, dict) else BadLine(number, "it is not a JSON object")


def _separated(path: Path, comma: str) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    csv.field_size_limit(LONGEST_LINE)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=comma, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    yield BadLine(reader.line_num, "it has another number of columns than the first line")
                else:
                    yield reader.line_num, dict(row)
        except UnicodeDecodeError:
            yield BadLine(reader.line_num + 1, "it is not UTF-8", ends=True)
        except csv.Error:
            yield BadLine(reader.line_num + 1, "the columns cannot be read", ends=True)


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=500):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError, pa.ArrowException):
        yield BadLine(number + 1, "the parquet file is damaged", ends=True)


def pair(
    line: int, messages: Any, first: Any, second: Any, verdict: str, annotator: str = "", strength: int | None = None
) -> ParsedPair | BadLine:
    """The checked pair of two answers; `verdict` is first, second, tie or both_bad."""
    try:
        checked = check_messages(messages, "prompt")
        texts = []
        for text in (first, second):
            if not isinstance(text, str):
                return BadLine(line, "an answer is not a string")
            if not text.strip():
                return BadLine(line, "a response is empty")
            texts.append(clean(text, "answer"))
    except BadText as bad:
        return BadLine(line, f"{bad.path.split('[')[0]}: {bad.reason}")
    if texts[0].strip() == texts[1].strip():
        return BadLine(line, "both responses are the same")
    if verdict == "second":
        texts.reverse()
    word = "better" if verdict in ("first", "second") else verdict
    return ParsedPair(line, checked, texts[0], texts[1], word, annotator, strength)


def conversation(value: Any) -> Any:
    """A prompt given as text, or as messages, as messages."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value
