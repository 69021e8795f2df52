"""Queues, their members, items and figures."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.errors import first_complaint
from api.views.base import ADMINS, View, listing, paged, person
from feedback import pairing, quality, queues
from feedback.errors import BadInput, NotFound
from feedback.models import Prompt, Queue, User
from feedback.models import Response as Answer

SHOWN = (
    "slug", "purpose", "guidelines_version", "created_at", *queues.FIELDS,
)  # fmt: skip


class Queues(View):
    roles = {"POST": ADMINS}

    @listing("queues_list", serializers.QueueOut)
    def get(self, request: Request) -> Response:
        """Your queues (engineers and admins: all), newest first."""
        return paged(self, queues.visible(user=person(request)), show)

    @extend_schema(
        operation_id="queues_create",
        request=serializers.QueueIn,
        responses={201: serializers.QueueOut, 200: serializers.QueueOut},
    )
    def post(self, request: Request) -> Response:
        """Make a queue."""
        body = serializers.QueueIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        queue, created = queues.create(**body.validated_data, actor=person(request))
        return Response(show(queue), status=201 if created else 200)


class OneQueue(View):
    @extend_schema(operation_id="queues_read", responses=serializers.QueueOut)
    def get(self, request: Request, slug: str) -> Response:
        """One queue."""
        return Response(show(queues.find(slug=slug, user=person(request))))

    @extend_schema(operation_id="queues_change", request=serializers.QueueChange, responses=serializers.QueueOut)
    def patch(self, request: Request, slug: str) -> Response:
        """Change a queue; `status` moves along draft - open - paused - closed."""
        queue = queues.find(slug=slug, user=person(request), manage=True)
        body = serializers.QueueChange(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        return Response(show(queues.change(queue=queue, actor=person(request), **body.validated_data)))


class Members(View):
    @extend_schema(
        operation_id="queues_members_create",
        request=serializers.MemberIn,
        responses={201: serializers.MemberOut, 200: serializers.MemberOut},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Let somebody into the queue, or give a member another role."""
        queue = queues.find(slug=slug, user=person(request), manage=True)
        body = serializers.MemberIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        user = User.objects.filter(username=body.validated_data["username"]).first()
        if user is None:
            raise NotFound("username: there is nobody of this name.", where="username")
        member, created = queues.admit(
            queue=queue, user=user, role=body.validated_data["role"], kind=body.validated_data["kind"],
            actor=person(request),
        )  # fmt: skip
        answer = {"username": user.username, "role": member.role, "kind": member.kind}
        return Response(answer, status=201 if created else 200)


class Items(View):
    @extend_schema(
        operation_id="queues_items_create",
        request=serializers.ItemIn(many=True),
        responses={201: serializers.TakenIn},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Put up to 1,000 prompts with their responses into the queue."""
        queue = queues.find(slug=slug, user=person(request), manage=True)
        drafts = read_drafts(wire.many(request.data))
        with transaction.atomic():
            items, created = pairing.add_items(queue=queue, drafts=drafts, actor=person(request))
        ids = [str(item.key) for item in items]
        return Response({"created": created, "existing": len(ids) - created, "ids": ids}, status=201)


class Stats(View):
    @extend_schema(operation_id="queues_stats", responses=serializers.Stats)
    def get(self, request: Request, slug: str) -> Response:
        """Figures of the queue. Rows by person are for its managers and for admins."""
        queue = queues.find(slug=slug, user=person(request))
        return Response(quality.figures_for(queue=queue, user=person(request)))


def read_drafts(rows: list[dict[str, Any]]) -> list[pairing.Draft]:
    """Items as they come from outside. Raises BadInput or NotFound naming the index."""
    checked = [_check(row, f"[{i}]") for i, row in enumerate(rows)]
    prompts = {p.key: p for p in Prompt.objects.filter(key__in={row["prompt"] for row in checked})}
    wanted = {key for row in checked for key in row["responses"]}
    answers = {r.key: r for r in Answer.objects.filter(key__in=wanted)}
    return [_draft(row, f"[{i}]", prompts, answers) for i, row in enumerate(checked)]


def _check(row: dict[str, Any], where: str) -> dict[str, Any]:
    shape = serializers.ItemIn(data=row)
    if not shape.is_valid():
        at, message = first_complaint(shape.errors, where)
        raise BadInput(f"{at}: {message}", where=at)
    return shape.validated_data


def _draft(row: dict[str, Any], where: str, prompts: dict[str, Prompt], answers: dict[str, Answer]) -> pairing.Draft:
    if row["prompt"] not in prompts:
        raise NotFound(f"{where}.prompt: there is no prompt {row['prompt']!r}.", where=f"{where}.prompt")
    for n, key in enumerate(row["responses"]):
        if key not in answers:
            at = f"{where}.responses[{n}]"
            raise NotFound(f"{at}: there is no response {key!r}.", where=at)
    return pairing.Draft(
        prompt=prompts[row["prompt"]],
        responses=[answers[key] for key in row["responses"]],
        priority=row.get("priority", 0),
        gold=dict(row["gold"]) if "gold" in row else None,
        language=row.get("language", ""),
        skill=row.get("skill", ""),
    )


def show(queue: Queue) -> dict[str, Any]:
    return {name: getattr(queue, name) for name in SHOWN}
