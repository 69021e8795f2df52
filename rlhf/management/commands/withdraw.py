"""`withdraw --annotator NAME | --judgment ID --reason R [--lift]`: take judgments out everywhere, or back in."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from feedback.models import Judgment
from rlhf import lineage
from rlhf.management.doors import clear_errors


class Command(BaseCommand):
    help = "Flag judgments as withdrawn; nothing is deleted, preferences are counted again, datasets are marked."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--annotator", metavar="NAME")
        which.add_argument("--judgment", metavar="ID")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--lift", action="store_true", help="undo a withdrawal instead")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("--reason: say why; it is stored with the judgments.")
        rows = named(annotator=options["annotator"], judgment=options["judgment"])
        with clear_errors():
            verb = lineage.reinstate if options["lift"] else lineage.withdraw
            done = verb(judgments=rows, reason=reason)
        other = rows.count() - done.judgments
        if options["lift"]:
            self.stdout.write(f"Put back {done.judgments} judgments; {other} were not withdrawn.")
        else:
            self.stdout.write(f"Withdrew {done.judgments} judgments; {other} were withdrawn before.")
        for dataset in done.datasets:
            self.stdout.write(
                f"dataset {dataset.name} ({dataset.pk}) rests on {dataset.withdrawn_judgments} of those out"
            )
            for node in lineage.down(lineage.Node("dataset", str(dataset.pk))).nodes[1:]:
                self.stdout.write(f"  {node.type.replace('_', ' ')} {node.id}")


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
