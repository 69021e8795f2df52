"""Which policy an alias points at: promotion, its history, and the way back."""

from __future__ import annotations

from django.db import transaction

from feedback import events
from feedback.errors import Conflict, NotAllowed, NotFound, StaleTransition
from feedback.models import Policy, User

from .models import Decision, Deployment, DeploymentChange


def live(alias: str) -> Policy | None:
    deployment = Deployment.objects.select_related("policy").filter(alias=alias).first()
    return deployment.policy if deployment else None


def promote(
    *,
    policy: Policy,
    alias: str = "production",
    actor: User | None = None,
    decision: Decision | None = None,
    force: bool = False,
    reason: str = "",
) -> DeploymentChange:
    """Point `alias` at `policy`. It needs a decision that promoted this policy, or a person's force with a reason.

    The first policy of an alias needs neither: there is nothing yet that it could be worse than.
    Raises Conflict where no decision speaks for it, NotAllowed where a reason is missing.
    """
    if Policy.objects.filter(slug=alias).exists():
        raise Conflict(f"{alias} is the name of a policy; aliases and slugs share one namespace.")
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().filter(alias=alias).first()
        if deployment is None:
            deployment = Deployment.objects.create(alias=alias, policy=policy)
            return _record(deployment, policy, None, decision, "start", reason, actor)
        if deployment.policy_id == policy.pk:
            raise Conflict(f"{policy.slug} is live under {alias} already.")
        decision = decision or _speaks_for(policy, alias)
        if decision is None and not force:
            raise Conflict(
                f"No decision has promoted {policy.slug} over what is live under {alias}. "
                "Let people vote first, or force it with a reason."
            )
        if force and not reason.strip():
            raise NotAllowed("A forced promotion needs a reason; it is stored with your name.")
        return _move(deployment, policy, decision, "forced" if force else "promote", reason, actor)


def rollback(*, alias: str = "production", actor: User | None = None, reason: str = "") -> DeploymentChange:
    """Back to what was live before the last change that still stands. Conflict when there is nothing before."""
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update().filter(alias=alias).first()
        if deployment is None:
            raise NotFound(f"There is no deployment {alias}.")
        earlier = _before(deployment)
        if earlier is None:
            raise Conflict(f"Nothing was live under {alias} before {deployment.policy.slug}.")
        return _move(deployment, earlier, None, "rollback", reason, actor)


def _before(deployment: Deployment) -> Policy | None:
    """Walk the history back, skipping what rollbacks have undone: two rollbacks go back two steps."""
    undone = 0
    for change in deployment.changes.select_related("previous").order_by("-pk"):
        if change.kind == "rollback":
            undone += 1
        elif undone:
            undone -= 1
        else:
            return change.previous
    return None


def _speaks_for(policy: Policy, alias: str) -> Decision | None:
    """A decision that promoted this policy over what is live now (a verdict over something else says nothing)."""
    now = live(alias)
    return Decision.objects.filter(alias=alias, candidate=policy, live=now, status="promoted").first()


def _move(
    deployment: Deployment,
    policy: Policy,
    decision: Decision | None,
    kind: str,
    reason: str,
    actor: User | None,
) -> DeploymentChange:
    previous = deployment.policy
    moved = Deployment.objects.filter(pk=deployment.pk, policy=previous).update(policy=policy)
    if not moved:
        raise StaleTransition(f"{deployment.alias} was changed by somebody else just now.")
    deployment.policy = policy
    return _record(deployment, policy, previous, decision, kind, reason, actor)


def _record(
    deployment: Deployment,
    policy: Policy,
    previous: Policy | None,
    decision: Decision | None,
    kind: str,
    reason: str,
    actor: User | None,
) -> DeploymentChange:
    change = DeploymentChange.objects.create(
        deployment=deployment, policy=policy, previous=previous, decision=decision, kind=kind, reason=reason[:500],
        actor=actor,
    )  # fmt: skip
    events.record(
        "deployment.changed", deployment, actor=actor, before={"policy": previous.slug if previous else None},
        after={"policy": policy.slug, "kind": kind, "reason": reason[:500]},
    )  # fmt: skip
    return change
