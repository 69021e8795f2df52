"""Evaluations: figures for policies by evaluators, ordered here or handed in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, PAGING, View, paged, person
from api.views.runs import one as one_run
from api.views.runs import show as show_run
from feedback.errors import NotFound
from feedback.models import Policy
from rlhf import evaluations, evaluators
from rlhf.models import Evaluation

ROWS = Evaluation.objects.select_related("policy", "reward_model")
ONLY = [OpenApiParameter("policy", OpenApiTypes.STR, description="Only those of this policy.")]


class Evaluations(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="evaluations_list",
        parameters=[*PAGING, *ONLY],
        responses=serializers.page_of(serializers.EvaluationOut),
    )
    def get(self, request: Request) -> Response:
        """Figures of policies and reward models, newest first."""
        rows = ROWS.all()
        if slug := request.query_params.get("policy"):
            rows = rows.filter(policy=named_policy(slug))
        return paged(self, rows, show)

    @extend_schema(
        operation_id="evaluations_create",
        request=serializers.EvaluationIn,
        responses={202: serializers.RunOut, 201: serializers.EvaluationOut},
    )
    def post(self, request: Request) -> Response:
        """Hand a policy to an evaluator (202 and its run), or hand in figures that you have (201)."""
        body = serializers.EvaluationIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        data = body.validated_data
        policy, evaluator = named_policy(data["policy"]), data["evaluator"]
        if data.get("figures") is not None:
            row = evaluations.store(policy=policy, evaluator=evaluator, figures=data["figures"], actor=person(request))
            return Response(show(row), status=201)
        run = evaluators.order(
            policy=policy,
            evaluator=evaluator,
            timeout_seconds=data["timeout_seconds"],
            queue=data["queue"],
            actor=person(request),
        )
        return Response(show_run(one_run(run.pk)), status=202)


def named_policy(slug: str) -> Policy:
    policy = Policy.objects.filter(slug=slug).first()
    if policy is None:
        raise NotFound(f"policy: there is no policy {slug!r}.", where="policy")
    return policy


def show(row: Evaluation) -> dict[str, Any]:
    return {
        "policy": row.policy.slug if row.policy else None,
        "reward_model": row.reward_model.slug if row.reward_model else None,
        "evaluator": row.material,
        "figures": row.figures,
        "run": str(row.run_id) if row.run_id else None,
        "created_at": row.created_at,
    }
