"""Waking a worker. The row is the job: a message that gets lost costs seconds, never work."""

from __future__ import annotations

import logging
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)
KNOCK_SECONDS = 0.5


def wake(task: str, *args: Any) -> None:
    """Send `task` by name once the transaction is committed. A dead broker is logged, never raised."""
    transaction.on_commit(lambda: _send(task, args), robust=True)


def _send(task: str, args: tuple[Any, ...]) -> None:
    try:
        _knock(str(current_app.conf.broker_url))
        current_app.send_task(task, args=args, retry=False)
    except Exception as broken:  # whatever the broker's client raises: the sweep will find the row
        log.warning("could not wake %s%s: %s", task, args, broken)


def _knock(url: str) -> None:
    """OSError at once when nobody listens: the broker's client would try again for seconds, in a request."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(KNOCK_SECONDS)
            probe.connect(unquote(parts.path))
    elif parts.scheme in ("redis", "rediss"):
        socket.create_connection((parts.hostname or "localhost", parts.port or 6379), KNOCK_SECONDS).close()
