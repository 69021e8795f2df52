"""`create_user NAME --role annotator|reviewer|engineer|admin [--password P]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback import accounts
from feedback.management.doors import clear_errors
from feedback.models import ROLES


class Command(BaseCommand):
    help = "Make an account. Without --password a random one is made and printed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", required=True, choices=ROLES)
        parser.add_argument("--password", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            user, password = accounts.create_user(
                username=options["name"], role=options["role"], password=options["password"]
            )
        told = "" if options["password"] else f", password {password}"
        self.stdout.write(f"Created {user.username} ({user.role}){told}")
