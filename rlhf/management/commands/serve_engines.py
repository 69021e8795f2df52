"""`serve_engines`: keeps models in memory as long as somebody asks for them; `bin/up` runs it."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections

from rlhf.keeping import Keeper

TURN_SECONDS = 0.5
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Starts, watches and stops resident engines on this machine, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: over.set())
        keeper = Keeper()
        try:
            while not over.wait(TURN_SECONDS):
                try:
                    close_old_connections()
                    keeper.turn()
                except Error as busy:  # a database that is away comes back
                    log.warning("serve_engines: %s", busy)
        finally:
            keeper.stop()
