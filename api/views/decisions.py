"""Decisions: put a policy to the vote, and what came of it."""

from __future__ import annotations

import re
import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback import queues
from feedback.errors import BadInput, NotFound
from feedback.models import Policy
from rlhf import gate_prompts, gates, proposals
from rlhf.models import Decision, RewardModel

METADATA_KEY = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")  # no double underscore: that would be a lookup


class Decisions(View):
    roles = {"*": ENGINEERS}

    @listing("decisions_list", serializers.DecisionOut)
    def get(self, request: Request) -> Response:
        """Every decision with the figures that it rested on, newest first."""
        return paged(self, Decision.objects.select_related("candidate", "live", "anchor", "queue"), show)

    @extend_schema(
        operation_id="decisions_create", request=serializers.DecisionIn, responses={201: serializers.DecisionOut}
    )
    def post(self, request: Request) -> Response:
        """Put a policy of any kind to the vote against what is live. Missing answers are made first."""
        body = serializers.DecisionIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        decision = proposals.propose(**read(body.validated_data, request), actor=person(request))
        return Response(show(decision), status=201)


class OneDecision(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="decisions_read", responses=serializers.DecisionOut)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """One decision: the sentence, the rule, the guardrails, every vote."""
        return Response(show(one(id)))


class Override(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="decisions_override", request=serializers.ReasonIn, responses=serializers.DecisionOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Promote a refused candidate all the same. Role and reason are stored beside the votes."""
        return Response(show(gates.override(decision=one(id), actor=person(request), reason=reason(request))))


class Abandon(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="decisions_abandon", request=serializers.ReasonIn, responses=serializers.DecisionOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Stop a vote. The prompts whose votes were read are used up."""
        return Response(show(gates.abandon(decision=one(id), actor=person(request), reason=reason(request))))


def one(id: uuid.UUID) -> Decision:
    found = Decision.objects.select_related("candidate", "live", "anchor", "queue", "anchor_queue").filter(pk=id)
    decision = found.first()
    if decision is None:
        raise NotFound(f"There is no decision {id}.")
    return decision


def reason(request: Request) -> str:
    body = serializers.ReasonIn(data=wire.one(request.data))
    body.is_valid(raise_exception=True)
    text: str = body.validated_data["reason"]
    return text


def read(data: dict[str, Any], request: Request) -> dict[str, Any]:
    """The arguments of `proposals.propose`. Raises NotFound naming what is unknown."""
    candidate = Policy.objects.filter(slug=data["candidate"]).first()
    if candidate is None:
        raise NotFound(f"candidate: there is no policy {data['candidate']!r}.", where="candidate")
    model = None
    if data["reward_model"] is not None:
        model = RewardModel.objects.filter(slug=data["reward_model"]).first()
        if model is None:
            raise NotFound(f"reward_model: there is no reward model {data['reward_model']!r}.", where="reward_model")
    for name in data["prompt_filter"]:
        if not METADATA_KEY.fullmatch(name):
            raise BadInput(f"prompt_filter: {name!r} is not the name of a metadata field.", where="prompt_filter")
    return {
        "candidate": candidate,
        "label_queue": queues.find(slug=data["queue"], user=person(request)),
        "alias": data["alias"],
        "rule": gates.parse_rule({"limit": gate_prompts.PLANNED, **data["rule"]}),
        "margins": data["guardrails"],
        "alternatives": data["alternatives"],
        "reward_model": model,
        "prompt_filter": {f"metadata__{name}": value for name, value in data["prompt_filter"].items()},
        "seed": data["seed"],
    }


def show(decision: Decision) -> dict[str, Any]:
    return {
        "id": str(decision.pk),
        "alias": decision.alias,
        "candidate": decision.candidate.slug,
        "live": decision.live.slug,
        "anchor": decision.anchor.slug if decision.anchor else None,
        "status": decision.status,
        "sentence": gates.sentence(decision),
        "rule": decision.rule,
        "alternatives": decision.alternatives,
        "guardrails": decision.guardrails,
        "figures": decision.figures,
        "marks": decision.marks,
        "note": decision.note,
        "queue": decision.queue.slug,
        "simulated": decision.simulated,
        "override_reason": decision.override_reason or None,
        "created_at": decision.created_at,
        "decided_at": decision.decided_at,
    }
