"""`restore FILE`: a backup into an empty database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import backup
from feedback.management.doors import clear_errors


class Command(BaseCommand):
    help = "Bring a backup into an empty, migrated database (SQLite or PostgreSQL, whichever it came from)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            done = backup.restore(options["file"])
        self.stdout.write(f"restored {', '.join(f'{count} {what}' for what, count in done.items())}")
