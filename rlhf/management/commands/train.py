"""`train KIND --dataset NAME --base POLICY [--config FILE] [--plan] [--wait]`: order a run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback.models import Policy
from rlhf import estimates, planning, runs, spec
from rlhf.bases import STARTER
from rlhf.management.doors import clear_errors, find, read_json, ready_dataset, wait_for_run
from rlhf.models import RewardModel, Run


class Command(BaseCommand):
    help = "Train a reward model (reward) or a policy (dpo, kto, sft, rloo, grpo) on a dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=planning.KINDS)
        parser.add_argument("--dataset", required=True, metavar="NAME", help="a dataset's name or digest")
        parser.add_argument("--base", default="", metavar="POLICY", help="a policy; for reward a base model will do")
        parser.add_argument("--reward-model", default="", metavar="SLUG", help="what rewards answers (rloo, grpo)")
        parser.add_argument("--config", metavar="FILE", help="a JSON object; what it leaves out is preset")
        parser.add_argument("--plan", action="store_true", help="only say what would be started, and what it will take")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--queue", default="", help="whose workers, or pullers, take it; `train` unless told")
        parser.add_argument("--wait", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, name, rewarder = options["kind"], options["base"], options["reward_model"]
        dataset = ready_dataset(options["dataset"])
        policy = Policy.objects.filter(slug=name).first()
        if policy is None and kind in spec.POLICY_KINDS:
            policy = find(Policy, slug=name)
        asked = {
            "kind": kind, "dataset": dataset, "policy": policy, "base": policy.base if policy else name or STARTER,
            "reward_model": find(RewardModel, slug=rewarder) if rewarder else None,
            "config": read_json(options["config"]),
        }  # fmt: skip
        with clear_errors():
            order = {"seed": options["seed"], "queue": options["queue"]}
            run = runs.prepare(**asked) if options["plan"] else runs.start(**asked, **order)
        self._tell_plan(run)
        if options["plan"]:
            return
        if options["wait"]:
            self._report(wait_for_run(run, self.stdout))  # type: ignore[arg-type]
        self.stdout.write(f"run {run.pk}")

    def _tell_plan(self, run: Run) -> None:
        for name, value in sorted(run.config.items()):
            why = run.plan.get("reasons", {}).get(name)
            if why:
                self.stdout.write(f"  {name} {value}: {why}")
        rows, guess = run.plan.get("rows"), run.plan.get("estimate")
        if rows:
            of = f" (from {rows['counted']} of them)" if rows["counted"] < rows["rows"] else ""
            self.stdout.write(f"{rows['rows']} rows{of}: {rows['dropped']} dropped, {rows['truncated']} cut")
        if guess:
            self.stdout.write(
                f"{guess['steps']} steps, {guess['tokens']} tokens, about {guess['seconds']:.0f} s and "
                f"{guess['memory_mb']} MB ({guess['basis']})"
            )
        if run.plan.get("note"):
            self.stdout.write(run.plan["note"])

    def _report(self, run: Run) -> None:
        for name, value in run.result.get("figures", {}).items():
            self.stdout.write(f"{name}: {value}")
        for row in estimates.compare(run.plan.get("estimate") or {}, run.result):
            self.stdout.write(f"{row['name']}: {row['happened']}, expected {row['expected']}")
        made = runs.lineage(run)["made"]
        if made:
            self.stdout.write(f"made {', '.join(made)}")
