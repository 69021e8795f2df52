"""`sample --policy SLUG --prompts N --draws K [--queue SLUG]`: answers of a policy, and pairs of them to judge."""

from __future__ import annotations

import itertools
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback import pairing
from feedback.models import Policy, Prompt, Queue
from rlhf import sampling, selection
from rlhf.management.doors import clear_errors, find, wait_for_run


class Command(BaseCommand):
    help = "Sample a local policy; only draws that do not exist yet are generated. Waits for the answers."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", required=True, metavar="SLUG")
        parser.add_argument("--prompts", type=int, required=True, metavar="N")
        parser.add_argument("--draws", type=int, default=2, metavar="K")
        parser.add_argument("--split", choices=("train", "dev", "gate"), default="train")
        parser.add_argument("--workspace", metavar="NAME", help="only prompts whose metadata name this workspace")
        parser.add_argument("--queue", metavar="SLUG", help="put one random pair a prompt into this queue")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        policy = find(Policy, slug=options["policy"])
        chosen = Prompt.objects.filter(split=options["split"])
        if options["workspace"]:
            chosen = chosen.filter(metadata__workspace=options["workspace"])
        prompts = list(chosen.order_by("key")[: options["prompts"]])
        draws = range(options["draws"])
        with clear_errors():
            run = sampling.sample(policy=policy, prompts=prompts, draws=draws, seed=options["seed"])
            if run is not None:
                wait_for_run(run, self.stdout)  # type: ignore[arg-type]
            answers = sampling.answers(policy, prompts, draws)
            total = sum(len(responses) for responses in answers.values())
            self.stdout.write(f"{policy.slug}: {total} answers to {len(answers)} prompts")
            if options["queue"]:
                self._fill(find(Queue, slug=options["queue"]), answers)

    def _fill(self, queue: Queue, answers: dict[str, Any]) -> None:
        pools = selection.by_prompt(itertools.chain.from_iterable(answers.values()))
        drafts = [pairing.Draft(pool[0].prompt, pool[:2], arm="control") for pool in pools.values()]
        _, created = pairing.add_items(queue=queue, drafts=drafts)
        alike = len(answers) - len(pools)
        self.stdout.write(f"{queue.slug}: {created} new items; {alike} prompts left out, their answers are too alike")
