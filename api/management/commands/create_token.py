"""`create_token NAME`: a token for the API, printed once, as the last word."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api import tokens
from api.models import Token
from feedback.models import User


class Command(BaseCommand):
    help = "Make a token for somebody's programs. It is printed once; only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the person's user name")
        parser.add_argument("--label", default="", help="what the token is for")

        parser.add_argument("--scope", choices=Token.SCOPES, default="", help="pull: carrying out runs elsewhere alone")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is nobody named {options['name']}; make them with create_user.")
        _, secret = tokens.create(user=user, name=options["label"], scope=options["scope"])
        self.stdout.write(f"Token of {user.username}, shown once: {secret}")
