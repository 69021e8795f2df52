"""Readers of outside file formats: a ParsedPair or a BadLine for each line, in order, its text already clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .base import BadLine, ParsedPair
from .hh import read_hh

Reader = Callable[[Path], Iterator[ParsedPair | BadLine]]
READERS: dict[str, Reader] = {"hh": read_hh}

__all__ = ["READERS", "BadLine", "ParsedPair", "Reader"]
