"""`evaluate POLICY --evaluator NAME [--wait]`: a command of yours looks at a policy; its figures are kept."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from feedback.models import Policy
from rlhf import evaluations, evaluators
from rlhf.management.doors import clear_errors, find, wait_for_run


class Command(BaseCommand):
    help = "Hand a policy to an evaluator that PLUMBLINE_EVALUATORS names."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="POLICY")
        parser.add_argument("--evaluator", required=True, metavar="NAME")
        parser.add_argument("--timeout", type=int, default=24 * 3600, metavar="SECONDS")
        parser.add_argument("--queue", default="", help="the workers' queue, `train` unless told")
        parser.add_argument("--wait", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        policy, evaluator = find(Policy, slug=options["policy"]), options["evaluator"]
        with clear_errors():
            run = evaluators.order(
                policy=policy, evaluator=evaluator, timeout_seconds=options["timeout"], queue=options["queue"]
            )
        if options["wait"]:
            wait_for_run(run, self.stdout)  # type: ignore[arg-type]
            found = evaluations.latest(policy=policy, evaluator=evaluator)
            for name, figure in found.figures.items() if found else ():
                self.stdout.write(f"{name}: {figure['value']} (se {figure['se']}, n {figure['n']})")
        self.stdout.write(f"run {run.pk}")
