"""Waking a worker. The row is the job: a message that gets lost costs seconds, never work."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)


def wake(task: str, *args: Any) -> None:
    """Send `task` by name once the transaction is committed. A dead broker is logged, never raised."""
    transaction.on_commit(lambda: _send(task, args), robust=True)


def _send(task: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(task, args=args, retry=False)
    except Exception as broken:  # whatever the broker's client raises: the sweep will find the row
        log.warning("could not wake %s%s: %s", task, args, broken)
