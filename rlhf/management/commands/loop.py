"""`loop tick|run|retry NAME`: the next thing of a loop's round, or as many as it takes to close the round."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from rlhf import loops, reward_datasets, runs
from rlhf.management.doors import clear_errors, find
from rlhf.models import Loop, RewardDataset, Round, Run


class Command(BaseCommand):
    help = "tick: do the next thing; run: do the work here until the round closes or people must vote."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("tick", "run", "retry"))
        parser.add_argument("name")
        parser.add_argument("--force", action="store_true", help="start a round with the preferences there are")

    def handle(self, *args: Any, **options: Any) -> None:
        loop = find(Loop, slug=options["name"])
        with clear_errors():
            if options["action"] == "retry":
                loops.retry(round_=loops.current(loop))
            elif options["action"] == "run":
                return self._run(loop, options["force"])
            self.stdout.write(loops.tick(loop=loop, force=options["force"]))

    def _run(self, loop: Loop, force: bool) -> None:
        """Only people can end `collecting` and `voting`; everything else is done here and now."""
        number, said = loops.current(loop).number, ""
        while True:
            text = loops.tick(loop=loop, force=force)
            if text != said:
                self.stdout.write(text)
                said = text
            round_ = Round.objects.get(loop=loop, number=number)
            if round_.status in ("collecting", "voting", "failed", "closed"):
                return
            if not self._work():
                time.sleep(1)

    def _work(self) -> bool:
        """Carry out what waits for a worker; False when a worker elsewhere has it."""
        dataset = RewardDataset.objects.filter(status="queued").first()
        run = Run.objects.filter(status="queued").order_by("created_at").first()
        if dataset is not None:
            reward_datasets.build(dataset_id=dataset.pk)
        if run is not None:
            return runs.execute(run_id=run.pk).finished
        return dataset is not None
