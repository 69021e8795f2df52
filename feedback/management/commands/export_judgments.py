"""`export_judgments --queue SLUG`: JSON lines on standard output, one judgment a line."""

from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feedback import exporting
from feedback.models import Queue


class Command(BaseCommand):
    help = "Write a queue's judgments to standard output; answers name responses by their ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", required=True, metavar="SLUG")
        parser.add_argument("--withdrawn", action="store_true", help="also those taken back or corrected")

    def handle(self, *args: Any, **options: Any) -> None:
        queue = Queue.objects.filter(slug=options["queue"]).first()
        if queue is None:
            raise CommandError(f"There is no queue {options['queue']}.")
        for row in exporting.judgments(queue=queue, withdrawn=options["withdrawn"]):
            self.stdout.write(orjson.dumps(row).decode())
