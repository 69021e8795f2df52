"""`backup FILE`: everything into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import backup
from feedback.management.doors import clear_errors


class Command(BaseCommand):
    help = "Write every table and every artifact into one file, and verify it. The file holds secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            done = backup.backup(options["file"])
        counts = ", ".join(f"{count} {what}" for what, count in done.items())
        self.stdout.write(f"{options['file']}: {counts}; read again and found whole")
