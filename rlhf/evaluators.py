"""Evaluators: commands that the machine's owner named in PLUMBLINE_EVALUATORS, ordered for a policy as runs.

They are settings and not rows, since whoever may write a row over HTTP must not choose what a worker executes.
"""

from __future__ import annotations

from django.conf import settings

from feedback.errors import BadInput, NotFound
from feedback.models import Policy, User

from . import runs
from .models import Run


def names() -> list[str]:
    return sorted(settings.PLUMBLINE_EVALUATORS)


def order(
    *,
    policy: Policy,
    evaluator: str,
    timeout_seconds: int = 24 * 3600,
    queue: str = "",
    actor: User | None = None,
) -> Run:
    """A run that hands the policy to the evaluator; its figures become an Evaluation when it is done."""
    if evaluator not in settings.PLUMBLINE_EVALUATORS:
        known = ", ".join(names()) or "none yet (PLUMBLINE_EVALUATORS names them)"
        raise NotFound(f"evaluator: there is no {evaluator!r}; there are: {known}.", where="evaluator")
    if policy.kind != "local":
        raise BadInput(
            f"policy: the weights of {policy.slug} are not here; evaluate it where they are, and post the figures.",
            where="policy",
        )
    if policy.head:
        raise BadInput(
            f"policy: {policy.slug} chooses among its answers by a reward model, which no model directory can hold.",
            where="policy",
        )
    config = {"evaluator": evaluator, "timeout_seconds": timeout_seconds}
    return runs.start(kind="evaluate", policy=policy, config=config, queue=queue, actor=actor)
