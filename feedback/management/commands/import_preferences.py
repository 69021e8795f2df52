"""Bring pairs that people have judged elsewhere into a queue."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from feedback.formats import READERS, Options
from feedback.importing import Report, import_preferences
from feedback.management.doors import clear_errors


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--format", required=True, choices=sorted(READERS), help="the shape of the file")
        parser.add_argument("--map", action="append", default=[], metavar="OURS=THEIRS", help="a column's name")
        parser.add_argument("--annotator-field", default="", metavar="F", help="the column that names who judged")
        parser.add_argument("--queue", default="", help="slug; made (closed) if missing; else after the file")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = tqdm(unit=" lines", disable=not sys.stderr.isatty(), leave=False)
        with clear_errors(), shown:
            report = import_preferences(
                path=options["file"],
                format=options["format"],
                queue_slug=options["queue"],
                options=Options.parse(options["map"], options["annotator_field"]),
                progress=lambda line: shown.update(line - shown.n),
            )
        for line in sentences(report):
            self.stdout.write(line)


def sentences(report: Report) -> list[str]:
    """The report in words, bad lines first so that the outcome stands last."""
    lines = [*report.shown]
    if (rest := report.bad.total() - len(report.shown)) > 0:
        lines.append(f"... and {rest} more bad lines")
    lines += [f"{count} lines left out: {reason}" for reason, count in report.bad.most_common()]
    if report.gate:
        lines.append(f"{report.gate} pairs on gate prompts kept out of training")
    if report.resumed:
        lines.append("an earlier import of this file had stopped half-way; it is complete now")
    if report.existing:
        lines.append(f"{report.existing} pairs were there already")
    if report.imported:
        splits = ", ".join(f"{count} {split}" for split, count in sorted(report.splits.items()))
        lines.append(f"{report.imported} judged pairs imported into queue {report.queue} (of all read: {splits})")
    else:
        lines.append("nothing was imported: all of it is in already" if report.existing else "nothing was imported")
    return lines
