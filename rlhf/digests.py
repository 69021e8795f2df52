"""sha256 of files and directories; those of large files are remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

CHUNK = 16 * 2**20
Beat = Callable[[], None]


def nothing() -> None:
    """The beat of whoever need not say that it is alive."""


def sha256_of(path: Path, beat: Beat = nothing) -> str:
    """The file's digest; `beat` is called every few megabytes, since a large file takes minutes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            beat()
    return digest.hexdigest()


def files_of(folder: Path, beat: Beat = nothing) -> dict[str, str]:
    """Name below the folder -> digest of every file in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path, beat) for path in paths}


def combined(kind: str, files: dict[str, str]) -> str:
    """The digest of a directory: of its kind, its names and its files' digests."""
    return hashlib.sha256(json.dumps([kind, files], sort_keys=True).encode()).hexdigest()


def remembered(folder: Path, memory: Path, beat: Beat = nothing) -> dict[str, str]:
    """`files_of` a directory that others keep (a base of many gigabytes), read again only when it has changed."""
    place = memory / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.json"
    stamp = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(folder.rglob("*"))]
    try:
        known = json.loads(place.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("stamp") != stamp:
        known = {"stamp": stamp, "files": files_of(folder, beat)}
        memory.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{os.getpid()}")
        draft.write_text(json.dumps(known))
        draft.replace(place)
    files: dict[str, str] = known["files"]
    return files
