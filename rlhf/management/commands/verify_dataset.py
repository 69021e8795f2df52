"""`verify_dataset NAME`: whether its files are whole and its rows make its digest; prints both digests."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rlhf import reward_datasets
from rlhf.management.doors import clear_errors, ready_dataset


class Command(BaseCommand):
    help = "Check a frozen dataset; the content digest is equal wherever the same texts and verdicts lie."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="its name or digest")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            dataset = ready_dataset(options["dataset"])
            wrong = reward_datasets.verify(dataset=dataset)
            if wrong:
                raise CommandError(f"{dataset.name} is damaged: {', '.join(wrong)}")
            self.stdout.write(f"whole; content {reward_datasets.content_digest(dataset)}; digest {dataset.digest}")
