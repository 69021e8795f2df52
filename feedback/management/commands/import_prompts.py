"""`import_prompts FILE --queue SLUG`: prompts from JSON lines (plain or gz), all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feedback import prompt_files
from feedback.management.doors import clear_errors
from feedback.models import Queue

SHOWN = 20


class Command(BaseCommand):
    help = "Store prompts for a queue; lines that carry responses become items of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--queue", required=True, metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        queue = Queue.objects.filter(slug=options["queue"]).first()
        if queue is None:
            raise CommandError(f"There is no queue {options['queue']}.")
        try:
            with clear_errors():
                done = prompt_files.import_prompts(path=options["file"], queue=queue)
        except CommandError as refused:
            for line in getattr(refused.__cause__, "lines", [])[:SHOWN]:
                self.stderr.write(line)
            raise
        self.stdout.write(f"{done.prompts} prompts stored, {done.existing} were there already.")
        if done.gate:
            self.stdout.write(f"{done.gate} answered gate prompts stay out of the queue: decisions alone read them.")
        self.stdout.write(f"{done.items} items added to {queue.slug}.")
