"""Fill an empty database with the demo workspace and print its sign-ins, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from rlhf import demo_workspace
from rlhf.management.doors import clear_errors


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            report = demo_workspace.seed()
        if report.note:
            self.stdout.write(f"Demo workspace: {report.note}.")
        if report.seeded:
            self.stdout.write(
                f"Demo workspace: {report.prompts} prompts, {report.responses} answers, "
                f"{report.items} comparisons to make."
            )
        for name, role, password in report.sign_ins:
            self.stdout.write(f"  sign in as {name:<4} ({role}), password {password}")
