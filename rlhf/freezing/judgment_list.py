"""`judgments.txt` of a dataset: the id of every judgment behind its rows, sorted, 37 bytes a line.

Lines of one width make a file of a million ids a search of twenty seeks, and a person can grep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

NAME = "judgments.txt"
WIDTH = 37


def write(folder: Path, ids: Iterable[str]) -> int:
    """The ids (sorted, each once) into the folder; returns how many."""
    count = 0
    with (folder / NAME).open("w", encoding="ascii", newline="\n") as file:
        for pk in ids:
            file.write(pk + "\n")
            count += 1
    return count


def read(folder: Path) -> Iterator[str]:
    with (folder / NAME).open(encoding="ascii") as file:
        for line in file:
            yield line.rstrip("\n")


def first(folder: Path, limit: int) -> list[str]:
    return list(islice(read(folder), limit))


def count(folder: Path) -> int:
    return (folder / NAME).stat().st_size // WIDTH


def contains(folder: Path, ids: Iterable[str]) -> list[str]:
    """Which of these ids the dataset rests on, by binary search."""
    with (folder / NAME).open("rb") as file:
        total = file.seek(0, 2) // WIDTH
        return [pk for pk in ids if _at(file, total, pk.encode())]


def _at(file, total: int, wanted: bytes) -> bool:  # type: ignore[no-untyped-def]
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        file.seek(middle * WIDTH)
        found = file.read(WIDTH - 1)
        if found == wanted:
            return True
        low, high = (middle + 1, high) if found < wanted else (low, middle)
    return False
