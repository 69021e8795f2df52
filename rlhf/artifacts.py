"""Artifacts: directories named by the hash of what is in them. One exists only when it is complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.errors import NotFound

MANIFEST = "artifact.json"


def root() -> Path:
    return Path(settings.PLUMBLINE_ARTIFACTS)


def path_of(digest: str) -> Path:
    """The directory of an artifact. Raises NotFound when it is not (or not completely) here."""
    path = root() / digest
    if not digest or not (path / MANIFEST).exists():
        raise NotFound(f"The artifact {digest[:12] or '(none)'} is not on this machine.")
    return path


def publish(source: Path, *, kind: str, digest: str = "", about: dict[str, Any] | None = None) -> str:
    """Copy a finished directory in, manifest last, and return its digest.

    The digest is of names and bytes unless the caller gives one (a dataset is named by its rows, since
    parquet bytes differ between library versions). Publishing the same twice changes nothing.
    """
    files = {str(p.relative_to(source)): _sha256(p) for p in sorted(source.rglob("*")) if p.is_file()}
    files.pop(MANIFEST, None)
    digest = digest or hashlib.sha256(json.dumps([kind, files], sort_keys=True).encode()).hexdigest()
    target = root() / digest
    if (target / MANIFEST).exists():
        return digest
    staging = root() / f".{digest}-{uuid.uuid4().hex[:8]}"
    shutil.copytree(source, staging)
    manifest = {"kind": kind, "digest": digest, "files": files, **(about or {})}
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    _into_place(staging, target)
    return digest


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
    return [name for name, sha in files.items() if not (path / name).is_file() or _sha256(path / name) != sha]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
