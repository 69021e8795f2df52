"""`export_dataset NAME --format trl|trl-implicit|reward|kto|sft [--as jsonl|csv|parquet] --to DIRECTORY`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlhf import artifacts
from rlhf.freezing import exports
from rlhf.management.doors import clear_errors, ready_dataset


class Command(BaseCommand):
    help = "Write a frozen dataset in the shape that a trainer reads; parquet makes a Hugging Face dataset directory."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="its name or digest")
        parser.add_argument("--format", default="trl", choices=exports.SHAPES)
        parser.add_argument("--as", dest="container", default="parquet", choices=exports.CONTAINERS)
        parser.add_argument("--to", required=True, metavar="DIRECTORY")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Path(options["to"])
        if target.exists() and any(target.iterdir()):
            raise CommandError(f"{target} is not empty.")
        with clear_errors():
            folder = artifacts.path_of(ready_dataset(options["dataset"]).artifact)
            for path in exports.write(folder, options["format"], options["container"], target):
                self.stdout.write(str(path))
