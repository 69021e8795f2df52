"""The annotator's calls. They are the busiest of all, so bodies are read by the verbs, without serializers."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.db import OperationalError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import View, person
from feedback import assigning, judging, presenting
from feedback.errors import BadInput, Conflict, NotAllowed, NotFound
from feedback.models import Assignment, Queue, User

log = logging.getLogger(__name__)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="A name of your own for this submission: sent again with the same body, it counts once.",
)  # fmt: skip


class Claim(View):
    @extend_schema(
        operation_id="queues_claim",
        request=serializers.ClaimIn,
        responses={200: serializers.Lease, 204: OpenApiResponse(description="Nothing is left for you here.")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Lease the next item; asking again gives the same. `ahead`: your second lease."""
        ahead = read_ahead(wire.one(request.data))
        queue = Queue.objects.filter(slug=slug).first()
        if queue is None:
            raise NotFound(f"There is no queue {slug} among yours.")
        lease = assigning.claim(queue=queue, annotator=person(request), ahead=ahead)
        return Response(status=204) if lease is None else Response(presenting.payload(lease))


class Judge(View):
    @extend_schema(
        operation_id="assignments_judge",
        request=serializers.JudgmentIn,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: serializers.JudgmentOut},
    )
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Say which answer is better. The answer carries your next item."""
        body, user = wire.one(request.data), person(request)
        ahead = read_ahead(body)
        taken = judging.judge(
            assignment_id=id,
            annotator=user,
            body={name: value for name, value in body.items() if name != "ahead"},
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        following = show_next(taken.judgment.assignment, user, ahead)
        return Response({"judgment": str(taken.judgment.pk), "next": following}, status=201)


class Skip(View):
    @extend_schema(operation_id="assignments_skip", request=serializers.SkipIn, responses=serializers.SkipOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Pass the item on to others. The answer carries your next item."""
        body, user = wire.one(request.data), person(request)
        ahead, reason = read_ahead(body), body.get("reason") or ""
        if not isinstance(reason, str):
            raise BadInput("reason: expected text.", where="reason")
        skipped = assigning.skip(assignment_id=id, annotator=user, reason=reason)
        return Response({"assignment": str(id), "next": show_next(skipped, user, ahead)})


class Heartbeat(View):
    @extend_schema(operation_id="assignments_heartbeat", request=serializers.Empty, responses=serializers.HeartbeatOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Still reading: both of your leases in the queue start their time again."""
        lease = assigning.heartbeat(assignment_id=id, annotator=person(request))
        return Response({"assignment": str(id), "expires_at": lease.expires_at.isoformat()})


class Undo(View):
    @extend_schema(operation_id="judgments_undo", request=serializers.Empty, responses=serializers.JudgmentOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Take back one of your last ten judgments; `next` is its item, leased to you again."""
        lease = judging.undo(judgment_id=id, annotator=person(request))
        return Response({"judgment": str(id), "next": presenting.payload(lease)})


def read_ahead(body: dict[str, Any]) -> bool:
    ahead = body.get("ahead", False)
    if not isinstance(ahead, bool):
        raise BadInput("ahead: expected true or false.", where="ahead")
    return ahead


def show_next(done: Assignment | None, user: User, ahead: bool) -> dict[str, Any] | None:
    """What the annotator does next where they have just `done` something; with `ahead`, the lease after the one
    they hold by now."""
    try:
        lease = _next(done, user, ahead) if done is not None else None
    except (Conflict, NotAllowed, OperationalError) as reason:  # paused, or too busy; what was said is stored
        log.info("no next item: %s", reason)
        return None
    return None if lease is None else presenting.payload(lease)


def _next(done: Assignment, user: User, ahead: bool) -> Assignment | None:
    queue, member = done.queue, getattr(done, "member", None)
    holds = ahead and Assignment.objects.filter(queue=queue, annotator=user, status="leased").exists()
    lease = assigning.claim(queue=queue, annotator=user, member=member)
    if not holds or lease is None:
        return lease
    return assigning.claim(queue=queue, annotator=user, ahead=True, member=member)
