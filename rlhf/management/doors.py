"""What the commands share: looking things up by name, waiting for rows, and one clear line for our errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import yaml
from django.core.management.base import CommandError
from django.db.models import Model
from django.utils import timezone

from feedback.errors import PlumblineError
from rlhf import bases, runs
from rlhf.models import RewardDataset, Run

M = TypeVar("M", bound=Model)
WAIT_SECONDS = 1.0
ORPHAN_SECONDS = 5.0
HERE = ("train", "default")  # queues whose workers run beside the site


@contextmanager
def clear_errors() -> Iterator[None]:
    """Our exceptions become one line and exit code 1."""
    try:
        yield
    except PlumblineError as wrong:
        raise CommandError(wrong.message) from wrong


def find(model: type[M], **lookup: Any) -> M:
    """The row, or one line that lists nothing but what was asked for."""
    row = model._default_manager.filter(**lookup).order_by("-pk").first()
    if row is None:
        asked = ", ".join(f"{name} {value!r}" for name, value in lookup.items())
        raise CommandError(f"There is no {model._meta.verbose_name} with {asked}.")
    return row


def read_json(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))  # JSON is YAML too
    except (OSError, ValueError, yaml.YAMLError) as wrong:
        raise CommandError(f"{path}: {wrong}") from wrong
    if not isinstance(data, dict):
        raise CommandError(f"{path}: expected an object.")
    return data


def wait_for_run(run: Run, out: TextIO) -> Run:
    """Stay until the run ends, doing its work here when no worker has taken it; CommandError unless it is done."""
    shown = ""
    while not run.finished:
        if run.status == "queued" and _nobody_came(run):
            _work_on(run)
        run.refresh_from_db()
        line = f"{run.status} {run.phase} {run.step}/{run.total_steps or '?'} {run.note}".strip()
        if line != shown:
            print(line, file=out)
            shown = line
        if not run.finished:
            time.sleep(WAIT_SECONDS)
    if run.status != "done":
        raise CommandError(f"The {run.kind} run was {run.status}: {run.note}")
    return run


def _work_on(run: Run) -> None:
    """Do the run here, and before it the one that makes its base."""
    maker = bases.maker(run.base)
    if maker is not None and maker.pk != run.pk and maker.status == "queued":
        runs.execute(run_id=maker.pk)
    runs.execute(run_id=run.pk)


def _nobody_came(run: Run) -> bool:
    """A run that no worker has claimed for a while is carried out by this process itself, if workers here might."""
    return run.worker_queue in HERE and (timezone.now() - run.created_at).total_seconds() > ORPHAN_SECONDS


def ready_dataset(name: str) -> RewardDataset:
    """A ready dataset by name or digest (the newest of that name)."""
    by_digest = RewardDataset.objects.filter(digest=name, status="ready").first()
    return by_digest or find(RewardDataset, name=name, status="ready")
