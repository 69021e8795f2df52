"""Figures of a policy by an evaluator: stored once they are whole, and the newest ones looked up by name.

An Evaluation's `material` is the evaluator's name; its `figures` are {name: {"value", "se", "n"}}, `se` and `n` null
where the evaluator gave none. Pages show them, and a gate's guardrail reads them, through `latest`.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from feedback import events
from feedback.errors import BadInput
from feedback.models import Policy, User

from .figures import parse_figures
from .models import Evaluation, Run
from .spec import SpecError


@transaction.atomic
def store(
    *, policy: Policy, evaluator: str, figures: Any, run: Run | None = None, actor: User | None = None
) -> Evaluation:
    """A new row with these figures; BadInput names what is wrong with them."""
    try:
        found = parse_figures({"figures": figures})
    except SpecError as wrong:
        raise BadInput(f"{wrong.field}: {wrong.message}", where=wrong.field) from wrong
    row = Evaluation.objects.create(policy=policy, material=evaluator, figures=found, run=run)
    events.record("policy.evaluated", policy, actor=actor, after={"evaluator": evaluator, "figures": sorted(found)})
    return row


def latest(*, policy: Policy, evaluator: str) -> Evaluation | None:
    """What this evaluator said last about the policy."""
    return Evaluation.objects.filter(policy=policy, material=evaluator).order_by("-pk").first()
