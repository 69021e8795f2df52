"""`rebuild_derived [--check]`: preferences again from the judgments, or a comparison with what is stored."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feedback import aggregation


class Command(BaseCommand):
    help = "Derive all comparisons and preferences again from the judgments."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where they differ")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["check"]:
            self.stdout.write(f"Derived the preferences of {aggregation.rebuild_derived()} items again.")
            return
        problems = aggregation.check_derived()
        if problems:
            raise CommandError("\n".join([*problems[:20], f"{len(problems)} items differ."]))
        self.stdout.write("Stored preferences equal what the judgments imply.")
