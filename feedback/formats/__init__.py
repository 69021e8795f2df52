"""Readers of outside file formats: a ParsedPair or a BadLine for each line, in order, its text already clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .base import BadLine, ParsedPair
from .columns import read_columns
from .hh import read_hh
from .oasst import read_oasst
from .options import Options
from .tools import read_argilla, read_label_studio, read_potato
from .trl import read_trl

Reader = Callable[[Path, Options], Iterator[ParsedPair | BadLine]]
READERS: dict[str, Reader] = {
    "hh": lambda path, options: read_hh(path),
    "trl": read_trl,
    "oasst": read_oasst,
    "columns": read_columns,
    "argilla": read_argilla,
    "label-studio": read_label_studio,
    "potato": read_potato,
}

__all__ = ["READERS", "BadLine", "Options", "ParsedPair", "Reader"]
