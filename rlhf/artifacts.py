"""Artifacts: directories named by the hash of what is in them. One exists only when it is complete."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.errors import NotFound

from . import digests

MANIFEST = "artifact.json"


def root() -> Path:
    return Path(settings.PLUMBLINE_ARTIFACTS)


def path_of(digest: str) -> Path:
    """The directory of an artifact. Raises NotFound when it is not (or not completely) here."""
    path = root() / digest
    if not digest or not (path / MANIFEST).exists():
        raise NotFound(f"The artifact {digest[:12] or '(none)'} is not on this machine.")
    return path


def publish(
    source: Path,
    *,
    kind: str,
    digest: str = "",
    about: dict[str, Any] | None = None,
    beat: digests.Beat = digests.nothing,
    refer: bool = False,
) -> str:
    """Take a finished directory in, manifest last, and return its digest.

    The digest is of names and bytes unless the caller gives one (a dataset is named by its rows, since
    parquet bytes differ between library versions). Publishing the same twice changes nothing. `beat` is called all
    the while. `refer`: links in the directory stay links, to files that others keep.
    """
    files = digests.files_of(source, beat)
    files.pop(MANIFEST, None)
    digest = digest or digests.combined(kind, files)
    target = root() / digest
    if (target / MANIFEST).exists():
        return digest
    staging = root() / f".{digest}-{uuid.uuid4().hex[:8]}"

    def take(old: str, new: str) -> None:
        beat()
        _link_or_copy(old, new)

    shutil.copytree(source, staging, symlinks=refer, copy_function=take)
    manifest = {"kind": kind, "digest": digest, "files": files, **(about or {})}
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    _into_place(staging, target)
    return digest


def _link_or_copy(old: str, new: str) -> None:
    """A second name for the same bytes where the disk allows it: a model need not lie there twice."""
    try:
        os.link(os.path.realpath(old), new)
    except OSError:
        shutil.copy2(old, new)


def _into_place(staging: Path, target: Path) -> None:
    try:
        os.rename(staging, target)
    except OSError:
        if not (target / MANIFEST).exists():  # a leftover without manifest: replace it
            shutil.rmtree(target, ignore_errors=True)
            os.rename(staging, target)
        else:
            shutil.rmtree(staging, ignore_errors=True)


def verify(digest: str) -> list[str]:
    """Names of files that are missing or changed; empty when the artifact is whole."""
    path = path_of(digest)
    files = json.loads((path / MANIFEST).read_text())["files"]
    return [name for name, sha in files.items() if not (path / name).is_file() or digests.sha256_of(path / name) != sha]
