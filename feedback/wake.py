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


def wake(task: str, *args: Any, queue: str = "") -> None:
    """Send `task` by name once the transaction is committed. A dead broker is logged, never raised.

    `queue` names the workers that are meant, where they are not those that the task's route names.
    """
    transaction.on_commit(lambda: _send(task, args, {"queue": queue} if queue else {}), robust=True)


def backlog(queue: str) -> int:
    """How many messages wait there unread; 0 when the broker cannot say."""
    try:
        _knock(str(current_app.conf.broker_url))
        with current_app.connection_for_write() as connection:
            waiting = connection.default_channel.queue_declare(queue=queue, passive=True)
            return int(waiting.message_count)
    except Exception as unknown:  # no such queue yet, or whatever the broker's client raises
        log.debug("backlog of %s: %s", queue, unknown)
        return 0


def _send(task: str, args: tuple[Any, ...], route: dict[str, str]) -> None:
    try:
        _knock(str(current_app.conf.broker_url))
        current_app.send_task(task, args=args, retry=False, **route)
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
