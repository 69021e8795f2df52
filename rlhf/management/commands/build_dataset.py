"""`build_dataset --queue SLUG --name NAME [--recipe FILE]`: freeze a queue's preferences, and wait for it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feedback.models import Queue
from rlhf import artifacts, reward_datasets
from rlhf.management.doors import clear_errors, find, read_json


class Command(BaseCommand):
    help = "Freeze the preferences of one or several queues into a reward dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", required=True, metavar="SLUG")
        parser.add_argument("--name", required=True)
        parser.add_argument("--recipe", metavar="FILE", help="a JSON file; its fields are in docs/datasets.md")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [find(Queue, slug=slug) for slug in options["queue"]]
        with clear_errors():
            dataset = reward_datasets.order(name=options["name"], queues=queues, recipe=read_json(options["recipe"]))
            dataset = reward_datasets.build(dataset_id=dataset.pk)
            while dataset.status in ("queued", "building"):  # a worker was faster
                dataset = reward_datasets.build(dataset_id=dataset.pk)
        if dataset.status != "ready":
            raise CommandError(dataset.error)
        for name, count in dataset.counts["rows"].items():
            self.stdout.write(f"{name}: {count} rows")
        for reason, count in dataset.counts["funnel"].items():
            self.stdout.write(f"  {reason}: {count}")
        self.stdout.write(f"files {artifacts.path_of(dataset.artifact)}")
        self.stdout.write(f"dataset {dataset.name} digest {dataset.digest}")
