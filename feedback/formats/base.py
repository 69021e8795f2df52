"""What every reader shares: its two results, and JSON lines read in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_LINE = 5_000_000  # bytes; more is never read into memory at once
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

Source = Path | str | BinaryIO


@dataclass(frozen=True)
class ParsedPair:
    """One comparison: the prompt's messages (the last one a user's) and two different answers to it."""

    line: int
    messages: list[dict[str, str]]
    chosen: str
    rejected: str


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
