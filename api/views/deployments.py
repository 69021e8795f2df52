"""Which policy is live."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, person
from feedback.errors import NotFound
from feedback.models import Policy
from rlhf import deployments
from rlhf.models import DeploymentChange


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


class Canary(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="deployments_canary", request=serializers.CanaryIn, responses=serializers.ChangeOut)
    def post(self, request: Request, alias: str) -> Response:
        """Send a share of the keys to a policy, or recall the canary that is out."""
        body = serializers.CanaryIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        wanted, user = body.validated_data, person(request)
        if not wanted["policy"]:
            return Response(show_change(deployments.recall_canary(alias=alias, reason=wanted["reason"], actor=user)))
        policy = Policy.objects.filter(slug=wanted["policy"]).first()
        if policy is None:
            raise NotFound(f"policy: there is no policy {wanted['policy']}.", where="policy")
        change = deployments.start_canary(
            policy=policy, share=wanted["share"], alias=alias, reason=wanted["reason"], actor=user
        )
        return Response(show_change(change))


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
