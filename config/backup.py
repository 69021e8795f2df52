"""Backup and restore: every table and every artifact in one file, the same on either database.

The file is a tar: `tables/APP.MODEL.jsonl.gz` (a header line with the columns, then a row a line),
`artifacts/DIGEST/...`, `secret_key`, and `manifest.json` last. It holds password hashes and the secret key: keep it as
you keep those. What is not in it: sessions, run directories (a run that was under way starts again) and caches.

Since tables are rows and not a database's own format, restoring is also the way from SQLite to PostgreSQL.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson
from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.migrations.recorder import MigrationRecorder

from feedback.errors import BadInput, Conflict
from feedback.models import Prompt, Queue, User
from rlhf import artifacts

MANIFEST = "manifest.json"
LEFT_OUT = {"sessions.session", "axes.accessattempt", "axes.accesslog", "axes.accessfailurelog"}
MADE_BY_MIGRATE = ("auth.permission", "contenttypes.contenttype")  # replaced by the backup's own
ROWS = 2000  # inserted at once


def backup(path: Path) -> dict[str, int]:
    """Write everything to `path` (which must not exist), read it again, and return counts.

    The tables are one snapshot. Raises Conflict when an artifact is damaged or the file is there already.
    """
    if path.exists():
        raise Conflict(f"{path} exists already; name another file.")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        counts = _write(draft)
        _verify(draft)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return counts


def _write(path: Path) -> dict[str, int]:
    manifest: dict[str, Any] = {"migrations": _migrations(), "files": {}, "rows": {}}
    with tarfile.open(path, "w") as tar, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        path.chmod(0o600)
        with _snapshot():
            for model in _models():
                table = Path(folder) / "table"
                manifest["rows"][model._meta.label_lower] = _dump(model, table)
                _add(tar, manifest, table, f"tables/{model._meta.label_lower}.jsonl.gz")
        digests = _artifacts()
        for digest in digests:
            source = artifacts.root() / digest
            for file in sorted(p for p in source.rglob("*") if p.is_file()):
                _add(tar, manifest, file, f"artifacts/{digest}/{file.relative_to(source)}")
        secret = Path(settings.PLUMBLINE_HOME) / "secret_key"
        if secret.exists():
            _add(tar, manifest, secret, "secret_key")
        _add_bytes(tar, orjson.dumps(manifest), MANIFEST)
    return {"tables": len(manifest["rows"]), "rows": sum(manifest["rows"].values()), "artifacts": len(digests)}


@contextmanager
def _snapshot() -> Iterator[None]:
    """All tables as of one moment, without holding up those who write."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    cursor = connection.cursor()
    in_transaction = connection.in_atomic_block
    if not in_transaction:
        cursor.execute("BEGIN DEFERRED")  # Django's own transactions take the writer's lock here
    try:
        yield
    finally:
        if not in_transaction:
            cursor.execute("COMMIT")


def _models() -> list[type[models.Model]]:
    """Every table that is ours to keep, join tables included, in a fixed order."""
    found = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]
    return sorted((m for m in found if m._meta.label_lower not in LEFT_OUT), key=lambda m: m._meta.label_lower)


def _columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [f for f in model._meta.concrete_fields if not f.generated]


def _dump(model: type[models.Model], path: Path) -> int:
    names = [field.attname for field in _columns(model)]
    count = 0
    with gzip.GzipFile(path, "wb", compresslevel=3, mtime=0) as stream:
        stream.write(orjson.dumps(names) + b"\n")
        rows = model._base_manager.order_by("pk").values_list(*names).iterator(chunk_size=ROWS)
        for row in rows:
            stream.write(orjson.dumps(row, default=_plain) + b"\n")
            count += 1
    return count


def _plain(value: Any) -> str:
    """What JSON has no form for: bytes as base64, the rest as its own text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return str(value)


def _artifacts() -> list[str]:
    """The digests of all artifacts. Raises Conflict naming the first that is damaged."""
    if not artifacts.root().exists():
        return []
    whole = [p.name for p in artifacts.root().iterdir() if (p / artifacts.MANIFEST).exists()]
    for digest in sorted(whole):
        if damaged := artifacts.verify(digest):
            raise Conflict(f"The artifact {digest} is damaged: {', '.join(damaged[:3])}. Nothing was written.")
    return sorted(whole)


def _add(tar: tarfile.TarFile, manifest: dict[str, Any], file: Path, name: str) -> None:
    with file.open("rb") as stream:
        manifest["files"][name] = hashlib.file_digest(stream, "sha256").hexdigest()
    tar.add(file.resolve(), arcname=name)


def _add_bytes(tar: tarfile.TarFile, body: bytes, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    tar.addfile(info, io.BytesIO(body))


def _migrations() -> list[str]:
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def _verify(path: Path) -> dict[str, Any]:
    """The manifest of a backup whose every file is as it says. Raises BadInput naming what is not."""
    try:
        with tarfile.open(path) as tar:
            seen, manifest = {}, None
            for member in tar:
                stream = tar.extractfile(member)
                if stream is None:
                    raise BadInput(f"{path}: {member.name} is no plain file.", where=member.name)
                if member.name == MANIFEST:
                    manifest = orjson.loads(stream.read())
                else:
                    seen[member.name] = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, tarfile.TarError, orjson.JSONDecodeError) as broken:
        raise BadInput(f"{path} cannot be read as a backup: {broken}.", where=str(path)) from broken
    if manifest is None:
        raise BadInput(f"{path} has no manifest: it was cut short, or is no backup.", where=str(path))
    wrong = sorted(name for name in {*seen, *manifest["files"]} if seen.get(name) != manifest["files"].get(name))
    if wrong:
        raise BadInput(f"{path} is damaged at {wrong[0]} ({len(wrong)} files in all).", where=wrong[0])
    return manifest


def restore(path: Path) -> dict[str, int]:
    """Bring a backup into an empty, migrated database, and its artifacts into their place.

    Raises BadInput for a damaged file, Conflict when the database holds work or is of another version; then nothing
    was changed.
    """
    manifest = _verify(path)
    if any(model._base_manager.exists() for model in (User, Prompt, Queue)):
        raise Conflict("This database holds work; a backup goes into an empty one.")
    if manifest["migrations"] != _migrations():
        raise Conflict("This backup is of another version of Plumbline: restore it there, then upgrade.")
    with tarfile.open(path) as tar:
        digests = _take_artifacts(tar)
        with transaction.atomic():  # foreign keys are checked at its end, so that the order does not matter
            for label in MADE_BY_MIGRATE:
                apps.get_model(label)._base_manager.all().delete()
            rows = sum(_load(tar, model) for model in _models())
            _check_foreign_keys()
        _reset_sequences()
        _take_secret(tar)
    return {"rows": rows, "artifacts": digests}


def _take_artifacts(tar: tarfile.TarFile) -> int:
    names = [n for n in tar.getnames() if n.startswith("artifacts/")]
    digests = sorted({name.split("/")[1] for name in names})
    for digest in digests:
        if (artifacts.root() / digest / artifacts.MANIFEST).exists():
            continue
        staging = artifacts.root() / f".restore-{uuid.uuid4().hex[:8]}"
        staging.mkdir(parents=True)
        tar.extractall(staging, members=[tar.getmember(n) for n in names if n.split("/")[1] == digest], filter="data")
        (staging / "artifacts" / digest).rename(artifacts.root() / digest)
        (staging / "artifacts").rmdir()
        staging.rmdir()
    return len(digests)


def _load(tar: tarfile.TarFile, model: type[models.Model]) -> int:
    stream = tar.extractfile(f"tables/{model._meta.label_lower}.jsonl.gz")
    assert stream is not None
    with gzip.open(stream) as lines:
        names = orjson.loads(lines.readline())
        fields = {field.attname: field for field in _columns(model)}
        columns = [fields[name] for name in names]
        count, size = 0, _batch_size(columns)
        while some := list(islice(lines, size)):
            count += _insert(model, columns, some)
        return count


def _batch_size(columns: list[Any]) -> int:
    return min(ROWS, max(1, connection.ops.bulk_batch_size(columns, range(ROWS))))


def _insert(model: type[models.Model], columns: list[Any], lines: list[bytes]) -> int:
    """Rows as they were: `raw`, so that `created_at` is not set anew."""
    rows = []
    for line in lines:
        values = zip(columns, orjson.loads(line), strict=True)
        rows.append(model(**{field.attname: _value(field, value) for field, value in values}))
    model._base_manager.all()._insert(rows, fields=columns, using="default", raw=True)  # type: ignore[attr-defined]
    return len(rows)


def _value(field: Any, value: Any) -> Any:
    target = field
    while target.remote_field:
        target = target.target_field
    return value if isinstance(target, models.JSONField) else target.to_python(value)


def _check_foreign_keys() -> None:
    if connection.vendor == "sqlite":
        connection.check_constraints()


def _reset_sequences() -> None:
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), _models()):
            cursor.execute(sql)


def _take_secret(tar: tarfile.TarFile) -> None:
    """The secret key decides the sides that second annotators see and signs the links that are out."""
    target = Path(settings.PLUMBLINE_HOME) / "secret_key"
    if "secret_key" not in tar.getnames():
        return
    stream: IO[bytes] | None = tar.extractfile("secret_key")
    assert stream is not None
    draft = target.with_name(f".secret_key.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(stream.read())
    draft.rename(target)
