"""`reproduce RUN [--into DIR] [--copy]`: how to repeat a run, and its directory laid out anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlhf import reproducing
from rlhf.management.doors import clear_errors, find
from rlhf.models import Run


class Command(BaseCommand):
    help = "Print the commands that repeat a run; with --into, lay its directory out for `python -m rlhf.engine DIR`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN")
        parser.add_argument("--into", metavar="DIR")
        parser.add_argument("--copy", action="store_true", help="copy the inputs, so that DIR stands alone")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = find(Run, pk=UUID(options["run"]))
        except ValueError:
            raise CommandError(f"{options['run']!r} is no run's id.")
        if not options["into"]:
            for line in reproducing.commands(run):
                self.stdout.write(line)
            return
        with clear_errors():
            changed = reproducing.lay_out(run=run, into=Path(options["into"]), copy=options["copy"])
        for line in changed:
            self.stderr.write(f"differs: {line}")
        self.stdout.write(f".venv/bin/python -m rlhf.engine {options['into']}")
