"""`withdraw --annotator NAME | --judgment ID --reason R`: take judgments out everywhere."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from feedback import judging
from feedback.models import Judgment


class Command(BaseCommand):
    help = "Flag judgments as withdrawn; nothing is deleted, and preferences are counted again without them."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--annotator", metavar="NAME")
        which.add_argument("--judgment", metavar="ID")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["reason"].strip():
            raise CommandError("--reason: say why; it is stored with the judgments.")
        rows = named(annotator=options["annotator"], judgment=options["judgment"])
        done = judging.withdraw_rows(rows, reason=options["reason"], actor=None)
        self.stdout.write(f"Withdrew {done} judgments; {rows.count() - done} were withdrawn before.")


def named(*, annotator: str | None, judgment: str | None) -> Any:
    """The judgments meant; CommandError where there are none."""
    if judgment is not None:
        try:
            rows = Judgment.objects.filter(pk=uuid.UUID(judgment))
        except ValueError:
            raise CommandError(f"--judgment: {judgment!r} is no judgment's id.")
    else:
        imported = Q(author__isnull=True, annotator=annotator)
        rows = Judgment.objects.filter(Q(author__username=annotator) | imported)
    if not rows.exists():
        raise CommandError(f"There is no judgment {'of ' + annotator if annotator else judgment}.")
    return rows
