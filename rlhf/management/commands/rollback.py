"""`rollback --alias production [--reason R]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from rlhf import deployments
from rlhf.management.doors import clear_errors


class Command(BaseCommand):
    help = "Point an alias back at what was live before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--alias", default="production")
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            change = deployments.rollback(alias=options["alias"], reason=options["reason"])
        before = change.previous.slug if change.previous else "nothing"
        self.stdout.write(f"{options['alias']}: {before} -> {change.policy.slug}")
