"""Answers given in production, and what their readers made of them."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, PAGING, View, paged, person
from feedback import interactions
from feedback.errors import BadInput
from feedback.models import Interaction

FILTERS = ("policy__slug", "model", "thumb", "session_id", "user_id", "consent")


class Interactions(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="interactions_list",
        parameters=[
            *PAGING,
            *(OpenApiParameter(name.partition("__")[0], OpenApiTypes.STR) for name in FILTERS),
        ],
        responses=serializers.page_of(serializers.InteractionOut),
    )
    def get(self, request: Request) -> Response:
        """What was logged, newest first."""
        asked = {name: request.query_params.get(name.partition("__")[0]) for name in FILTERS}
        rows = Interaction.objects.filter(**{name: value for name, value in asked.items() if value is not None})
        return paged(self, rows.select_related("policy"), show)

    @extend_schema(
        operation_id="interactions_create",
        request=serializers.InteractionIn(many=True),
        responses={202: serializers.Logged},
    )
    def post(self, request: Request) -> Response:
        """Log up to 1,000 answers; they are stored when this answers. `feedback` are links for their readers."""
        rows = wire.many([request.data] if isinstance(request.data, dict) else request.data)
        stored = interactions.log(rows=rows)
        links = [feedback_url(row) for row in stored]
        answer = {"created": len(stored), "ids": [str(row.pk) for row in stored], "feedback": links}
        return Response(answer, status=202)

    @extend_schema(
        operation_id="interactions_forget",
        parameters=[OpenApiParameter("user_id", {"type": "string", "minLength": 1}, required=True)],
        responses={200: serializers.Forgotten},
    )
    def delete(self, request: Request) -> Response:
        """Delete everything that was logged of one end user."""
        user_id = request.query_params.get("user_id", "")
        return Response({"deleted": interactions.forget_user(user_id=user_id, actor=person(request))})


class Feedback(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="interactions_feedback",
        request=serializers.ReactionIn,
        responses={201: serializers.ReactionOut},
    )
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Record an end user's thumb, correction or comment."""
        body = wire.one(request.data)
        for name in body:
            if name not in ("thumb", "correction", "comment"):
                raise BadInput(f"{name}: unknown field; known are thumb, correction, comment.", where=name)
        said = interactions.react(interaction_id=id, **{name: value or "" for name, value in body.items()})
        return Response(show_reaction(said), status=201)


def feedback_url(row: Interaction) -> str:
    return settings.PLUMBLINE_URL + reverse("feedback:reaction", args=[interactions.link_token(row)])


def show(row: Interaction) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "policy": row.policy.slug if row.policy else None,
        **{
            name: getattr(row, name)
            for name in ("model", "messages", "content", "consent", "session_id", "user_id", "tags", "scores")
        },
        **{name: getattr(row, name) for name in ("characters", "tokens", "latency_ms", "created_at")},
        "thumb": row.thumb or None,
    }


def show_reaction(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "interaction": str(row.interaction_id),
        "thumb": row.thumb or None,
        "correction": row.correction,
        "comment": row.comment,
        "created_at": row.created_at,
    }
