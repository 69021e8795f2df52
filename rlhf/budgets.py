"""What a loop may spend, and what it has spent: labels, hours of machines, money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone

from feedback.errors import BadInput
from feedback.models import Judgment

from .models import Loop, Run

FIELDS = ("labels", "hours", "money", "per_label", "per_hour")
RUN_FIELDS = (
    "reward_run", "sample_run", "score_run", "train_run", "answer_run", "live_answer_run", "next_run", "next_score_run",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """Limits (None: none) and prices. labels: judgments of any kind; hours: of runs; money: labels and hours priced."""

    labels: float | None = None
    hours: float | None = None
    money: float | None = None
    per_label: float = 0.0
    per_hour: float = 0.0

    @classmethod
    def parse(cls, data: Any) -> Budget:
        """A checked budget; BadInput names the field."""
        if not isinstance(data, dict):
            raise BadInput("config.budget: expected an object.", where="config.budget")
        for name, value in data.items():
            where = f"config.budget.{name}"
            if name not in FIELDS:
                raise BadInput(f"{where}: unknown; known are {', '.join(FIELDS)}.", where=where)
            if value is None and name in ("labels", "hours", "money"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
                raise BadInput(f"{where}: expected a number from 0.", where=where)
        found = cls(**data)
        if found.money is not None and not (found.per_label or found.per_hour):
            raise BadInput("config.budget.money: needs a price, per_label or per_hour.", where="config.budget.money")
        return found


@dataclass(frozen=True)
class Spent:
    labels: int
    hours: float
    money: float


def spent(loop: Loop, budget: Budget) -> Spent:
    """All judgments in the loop's queue and its votes, and the hours of its runs (a running one counts so far)."""
    labels = Judgment.objects.filter(_of(loop)).count()
    seconds = sum(
        ((run.finished_at or timezone.now()) - run.started_at).total_seconds()
        for run in Run.objects.filter(pk__in=run_ids(loop), started_at__isnull=False)
        if run.started_at
    )
    hours = seconds / 3600
    return Spent(labels, round(hours, 3), round(labels * budget.per_label + hours * budget.per_hour, 2))


def _of(loop: Loop) -> Q:
    votes = Q(queue__decision__round__loop=loop) | Q(queue__anchor_decision__round__loop=loop)
    return Q(queue=loop.queue) | votes


def run_ids(loop: Loop) -> set[Any]:
    """Every run that the loop ordered."""
    rounds = loop.rounds.all()
    found = {pk for row in rounds.values_list(*(f"{name}_id" for name in RUN_FIELDS)) for pk in row if pk}
    found |= set(rounds.values_list("yardstick_runs", flat=True)) | set(rounds.values_list("decision__runs", flat=True))
    return found - {None}


def used_up(loop: Loop, budget: Budget) -> str:
    """Which limit is reached, as a sentence; "" while there is something left of all of them."""
    if budget.labels is budget.hours is budget.money is None:
        return ""
    have = spent(loop, budget)
    for name, unit in (("labels", "labels"), ("hours", "machine hours"), ("money", "of money")):
        limit, used = getattr(budget, name), getattr(have, name)
        if limit is not None and used >= limit:
            return f"the budget is used up: {used:g} {unit} of {limit:g}"
    return ""
