"""`train KIND --dataset NAME --base POLICY [--config FILE] [--wait]`: order a run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback.models import Policy
from rlhf import runs, spec
from rlhf.bases import STARTER
from rlhf.management.doors import clear_errors, find, read_json, ready_dataset, wait_for_run
from rlhf.models import RewardModel


class Command(BaseCommand):
    help = "Train a reward model (reward) or a policy (dpo, kto, sft, rloo, grpo) on a dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=("reward", *spec.POLICY_KINDS))
        parser.add_argument("--dataset", required=True, metavar="NAME", help="a dataset's name or digest")
        parser.add_argument("--base", default="", metavar="POLICY", help="a policy; for reward a base model will do")
        parser.add_argument("--reward-model", default="", metavar="SLUG", help="what rewards answers (rloo, grpo)")
        parser.add_argument("--config", metavar="FILE", help="a JSON object; what it leaves out has its default")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--queue", default="", help="whose workers, or pullers, take it; `train` unless told")
        parser.add_argument("--wait", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, name, rewarder = options["kind"], options["base"], options["reward_model"]
        dataset = ready_dataset(options["dataset"])
        policy = Policy.objects.filter(slug=name).first()
        if policy is None and kind in spec.POLICY_KINDS:
            policy = find(Policy, slug=name)
        with clear_errors():
            run = runs.start(
                kind=kind,
                dataset=dataset,
                policy=policy,
                base=policy.base if policy else name or STARTER,
                reward_model=find(RewardModel, slug=rewarder) if rewarder else None,
                config=read_json(options["config"]),
                seed=options["seed"],
                queue=options["queue"],
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
