"""Simulated people close one round of `quick`, then one of `demo`; each step is told with an estimate."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from api import demo_crowd
from feedback.errors import PlumblineError
from feedback.simulated_people import GaveUp
from rlhf.models import Loop


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.PLUMBLINE_URL)

    def handle(self, *args: Any, **options: Any) -> None:
        if not Loop.objects.filter(slug__in=[plan.loop for plan in demo_crowd.PLANS], demo=True).exists():
            raise CommandError("There is no demo workspace here; seed_demo makes one in an empty database.")
        self._started = time.monotonic()
        for plan in demo_crowd.PLANS:
            try:
                round_ = demo_crowd.close_round(plan=plan, url=options["url"], say=self._say)
            except (PlumblineError, GaveUp) as wrong:
                raise CommandError(getattr(wrong, "message", str(wrong))) from wrong
            for line in demo_crowd.summary(round_):
                self._say(line)

    def _say(self, line: str) -> None:
        self.stdout.write(f"[{time.monotonic() - self._started:6.1f} s] {line}")
        self.stdout.flush()
