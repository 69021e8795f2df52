"""Which policy an alias points at: promotion, its history, the way back, and a canary for a share of the keys.

A canary answers the keys (users, sessions) whose hash falls below its share, always the same ones. It needs no
decision, but a person and a reason; a serious alarm about the alias recalls it, and so does a rollback.
"""

from __future__ import annotations

import hashlib

from django.db import transaction

from feedback import events
from feedback.errors import BadInput, Conflict, NotAllowed, NotFound, StaleTransition
from feedback.models import Policy, User

from .models import Decision, Deployment, DeploymentChange


def live(alias: str) -> Policy | None:
    deployment = Deployment.objects.select_related("policy").filter(alias=alias).first()
    return deployment.policy if deployment else None


def resolve(alias: str, key: str = "") -> Policy | None:
    """Who answers this key (a user or session) under the alias now. Without a key the stable policy does."""
    deployment = Deployment.objects.select_related("policy", "canary").filter(alias=alias).first()
    if deployment is None:
        return None
    if deployment.canary is not None and key and place(alias, key) < deployment.canary_share:
        return deployment.canary
    return deployment.policy


def place(alias: str, key: str) -> float:
    """A number in [0, 1) that a key keeps for ever under an alias: a larger share keeps those who were in."""
    return int.from_bytes(hashlib.sha256(f"canary:{alias}:{key}".encode()).digest()[:8], "big") / 2**64


def start_canary(
    *, policy: Policy, share: float, alias: str = "production", reason: str = "", actor: User | None = None
) -> DeploymentChange:
    """Let `policy` answer a share of the keys; called again for the same policy it changes the share.

    Raises Conflict while another canary is out, or when the policy is live; NotAllowed without a reason unless
    a decision has promoted the policy.
    """
    if not 0 < share < 1:
        raise BadInput("share: a number above 0 and below 1; for all of it, promote the policy.", where="share")
    with transaction.atomic():
        deployment = _held(alias)
        if deployment.policy_id == policy.pk:
            raise Conflict(f"{policy.slug} is live under {alias} already.")
        if deployment.canary_id not in (None, policy.pk):
            assert deployment.canary is not None
            raise Conflict(f"{deployment.canary.slug} is the canary of {alias}; recall it first.")
        if not reason.strip() and _speaks_for(policy, alias) is None:
            raise NotAllowed("A canary without a decision needs a reason; it is stored with your name.")
        Deployment.objects.filter(pk=deployment.pk).update(canary=policy, canary_share=share)
        told = f"{share:.0%} of the keys{': ' + reason if reason else ''}"
        return _record(deployment, policy, deployment.policy, None, "canary", told, actor)


def recall_canary(*, alias: str = "production", reason: str = "", actor: User | None = None) -> DeploymentChange:
    """All keys go to the stable policy again. Conflict when no canary is out."""
    with transaction.atomic():
        deployment = _held(alias)
        if deployment.canary is None:
            raise Conflict(f"No canary is out under {alias}.")
        return _recall(deployment, reason, actor)


def _recall(deployment: Deployment, reason: str, actor: User | None) -> DeploymentChange:
    gone = deployment.canary
    Deployment.objects.filter(pk=deployment.pk).update(canary=None, canary_share=0)
    deployment.canary, deployment.canary_share = None, 0
    return _record(deployment, deployment.policy, gone, None, "recall", reason, actor)


def alarmed(*, alias: str, sentence: str) -> bool:
    """A serious alarm about this alias: its canary, if one is out, is recalled. Whether one was."""
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update(of=("self",)).filter(alias=alias).first()
        if deployment is None or deployment.canary is None:
            return False
        _recall(deployment, f"by itself, on an alarm: {sentence}", None)
    return True


def _held(alias: str) -> Deployment:
    found = Deployment.objects.select_for_update(of=("self",)).select_related("policy", "canary")
    deployment = found.filter(alias=alias).first()
    if deployment is None:
        raise NotFound(f"There is no deployment {alias}.")
    return deployment


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
    """Back to what was before the last change that still stands: a canary that is out is recalled, and that is all;
    else what was live before comes back. Conflict when there is nothing before.
    """
    with transaction.atomic():
        deployment = _held(alias)
        if deployment.canary is not None:
            return _recall(deployment, reason, actor)
        earlier = _before(deployment)
        if earlier is None:
            raise Conflict(f"Nothing was live under {alias} before {deployment.policy.slug}.")
        return _move(deployment, earlier, None, "rollback", reason, actor)


def _before(deployment: Deployment) -> Policy | None:
    """Walk the history back, skipping what rollbacks have undone: two rollbacks go back two steps."""
    undone = 0
    turns = deployment.changes.exclude(kind__in=("canary", "recall"))
    for change in turns.select_related("previous").order_by("-pk"):
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
    canary = deployment.canary
    if canary is not None and canary.pk != policy.pk:
        _recall(deployment, f"{policy.slug} goes live", actor)
    turn = {"policy": policy, "canary": None, "canary_share": 0.0}
    moved = Deployment.objects.filter(pk=deployment.pk, policy=previous).update(**turn)
    if not moved:
        raise StaleTransition(f"{deployment.alias} was changed by somebody else just now.")
    deployment.policy, deployment.canary, deployment.canary_share = policy, None, 0.0
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
