"""`promote POLICY --alias production [--force --reason R]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback.models import Policy
from rlhf import deployments
from rlhf.management.doors import clear_errors, find


class Command(BaseCommand):
    help = "Point an alias at a policy. Without a decision that speaks for it, --force and --reason are needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy")
        parser.add_argument("--alias", default="production")
        parser.add_argument("--force", action="store_true")
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            change = deployments.promote(
                policy=find(Policy, slug=options["policy"]),
                alias=options["alias"],
                force=options["force"],
                reason=options["reason"],
            )
        before = change.previous.slug if change.previous else "nothing"
        self.stdout.write(f"{options['alias']}: {before} -> {change.policy.slug}")
