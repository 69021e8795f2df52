"""`train KIND --dataset NAME --base POLICY [--config FILE] [--wait]`: order a run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback.models import Policy
from rlhf import runs
from rlhf.management.doors import clear_errors, find, read_json, ready_dataset, wait_for_run

KINDS = ("reward", "dpo")


class Command(BaseCommand):
    help = "Train a reward model (reward) or a policy (dpo) on a dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("--dataset", required=True, metavar="NAME", help="a dataset's name or digest")
        parser.add_argument("--base", default="", metavar="POLICY", help="a policy; for reward a base model will do")
        parser.add_argument("--config", metavar="FILE")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--wait", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, name = options["kind"], options["base"]
        dataset = ready_dataset(options["dataset"])
        policy = Policy.objects.filter(slug=name).first()
        if policy is None and kind == "dpo":
            policy = find(Policy, slug=name)
        base = policy.base if policy else name or "smollm2-135m-instruct"
        with clear_errors():
            run = runs.start(
                kind=kind,
                dataset=dataset,
                policy=policy,
                base=base,
                config=read_json(options["config"]),
                seed=options["seed"],
            )
        if options["wait"]:
            self._report(wait_for_run(run, self.stdout))  # type: ignore[arg-type]
        self.stdout.write(f"run {run.pk}")

    def _report(self, run: Any) -> None:
        for name, value in run.result.get("figures", {}).items():
            self.stdout.write(f"{name}: {value}")
        made = runs.lineage(run)["made"]
        if made:
            self.stdout.write(f"made {', '.join(made)}")
