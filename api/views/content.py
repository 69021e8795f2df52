"""Prompts, policies and responses coming in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback import intake
from feedback.errors import Conflict
from feedback.models import Policy
from rlhf import artifacts, bases, runs
from rlhf.models import Deployment


def taken(done: intake.Intake) -> Response:
    return Response({"created": done.created, "existing": done.existing, "ids": done.ids}, status=201)


class Prompts(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="prompts_create",
        request=serializers.PromptIn(many=True),
        responses={201: serializers.TakenIn},
    )
    def post(self, request: Request) -> Response:
        """Store up to 1,000 prompts. The same content twice is the same prompt."""
        return taken(intake.add_prompts(rows=wire.many(request.data), actor=person(request)))


class Responses(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="responses_create",
        request=serializers.ResponseIn(many=True),
        responses={201: serializers.TakenIn},
    )
    def post(self, request: Request) -> Response:
        """Store up to 1,000 responses of known policies to known prompts."""
        return taken(intake.add_responses(rows=wire.many(request.data), actor=person(request)))


class Policies(View):
    roles = {"*": ENGINEERS}

    @listing("policies_list", serializers.PolicyOut)
    def get(self, request: Request) -> Response:
        """The policies, newest first."""
        return paged(self, Policy.objects.select_related("parent"), show_policy)

    @extend_schema(
        operation_id="policies_create",
        request=serializers.PolicyIn,
        responses={201: serializers.PolicyOut, 200: serializers.PolicyOut},
    )
    def post(self, request: Request) -> Response:
        """Register a policy. Policies are immutable: the same slug and body is the same policy."""
        body = serializers.PolicyIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        check_references(body.validated_data)
        policy, created = intake.add_policy(**body.validated_data, actor=person(request))
        return Response(show_policy(policy), status=201 if created else 200)


def check_references(data: dict[str, Any]) -> None:
    """What a policy stands on is named, never a path from outside. Raises NotFound, Conflict or BadInput."""
    if Deployment.objects.filter(alias=data["slug"]).exists():
        raise Conflict(f"{data['slug']} is an alias; aliases and slugs share one namespace.", where="slug")
    if data["kind"] != "local":
        return
    bases.require_known(data.get("base", ""))
    if data.get("adapter"):
        artifacts.path_of(data["adapter"])
    runs.check_config("generate", {"decoding": data.get("decoding", {})})


def show_policy(policy: Policy) -> dict[str, Any]:
    return {
        "slug": policy.slug,
        "kind": policy.kind,
        "base": policy.base,
        "adapter": policy.adapter,
        "system_prompt": policy.system_prompt,
        "decoding": policy.decoding,
        "parent": policy.parent.slug if policy.parent else None,
        "created_at": policy.created_at,
    }
