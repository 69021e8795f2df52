"""Which policy is live, and the decisions behind it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback.errors import NotFound
from feedback.models import Policy
from rlhf import deployments, gates
from rlhf.models import Decision, DeploymentChange


class Promote(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="policies_promote", request=serializers.PromoteIn, responses=serializers.ChangeOut)
    def post(self, request: Request, slug: str) -> Response:
        """Make a policy live. It needs a decision that promoted it, or force with a reason."""
        policy = Policy.objects.filter(slug=slug).first()
        if policy is None:
            raise NotFound(f"There is no policy {slug}.")
        body = serializers.PromoteIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        change = deployments.promote(policy=policy, actor=person(request), **body.validated_data)
        return Response(show_change(change))


class Rollback(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="deployments_rollback", request=serializers.RollbackIn, responses=serializers.ChangeOut)
    def post(self, request: Request, alias: str) -> Response:
        """Back to what was live before."""
        body = serializers.RollbackIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        change = deployments.rollback(alias=alias, actor=person(request), **body.validated_data)
        return Response(show_change(change))


class Decisions(View):
    roles = {"*": ENGINEERS}

    @listing("decisions_list", serializers.DecisionOut)
    def get(self, request: Request) -> Response:
        """Every decision with the figures that it rested on, newest first."""
        return paged(self, Decision.objects.select_related("candidate", "live", "queue"), show_decision)


def show_change(change: DeploymentChange) -> dict[str, Any]:
    return {
        "alias": change.deployment.alias,
        "policy": change.policy.slug,
        "previous": change.previous.slug if change.previous else None,
        "decision": str(change.decision_id) if change.decision_id else None,
        "kind": change.kind,
        "reason": change.reason,
        "at": change.at,
    }


def show_decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": str(decision.pk),
        "alias": decision.alias,
        "candidate": decision.candidate.slug,
        "live": decision.live.slug,
        "status": decision.status,
        "sentence": gates.sentence(decision),
        "rule": decision.rule,
        "figures": decision.figures,
        "queue": decision.queue.slug,
        "simulated": decision.simulated,
        "override_reason": decision.override_reason or None,
        "created_at": decision.created_at,
        "decided_at": decision.decided_at,
    }
