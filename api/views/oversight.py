"""Looking after a queue over the API: its people, its guidelines, review, costs; and the audit trail."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ADMINS, View, listing, paged, person
from feedback import money, pausing, presenting, queues, review
from feedback.errors import NotAllowed, NotFound
from feedback.models import Event, GuidelinesVersion, Membership


def text_filter(name: str, words: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=words)


class Events(View):
    roles = {"*": ADMINS}

    @extend_schema(
        operation_id="events_list",
        parameters=[
            text_filter("object_type", "Such as queue, item, judgment, user."),
            text_filter("object_id", "Its public id: slug, key or name."),
            text_filter("verb", "Such as queue.changed."),
            text_filter("actor", "Who did it."),
        ],
        responses=serializers.page_of(serializers.EventOut),
    )
    def get(self, request: Request) -> Response:
        """Who changed what, before and after, newest first."""
        rows = Event.objects.select_related("actor")
        for name, column in (("object_type",) * 2, ("object_id",) * 2, ("verb",) * 2, ("actor", "actor__username")):
            if value := request.query_params.get(name):
                rows = rows.filter(**{column: value})
        return paged(self, rows, show_event)


class OneMember(View):
    @extend_schema(
        operation_id="queues_members_change", request=serializers.MemberChange, responses=serializers.MemberState
    )
    def patch(self, request: Request, slug: str, username: str) -> Response:
        """Pause a member (with a reason), let them work again, withhold their judgments or give them back."""
        user = person(request)
        queue = queues.find(slug=slug, user=user, manage=True)
        body = serializers.MemberChange(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        member = queue.memberships.select_related("user", "queue").filter(user__username=username).first()
        if member is None:
            raise NotFound(f"username: {username!r} is no member of this queue.", where="username")
        change_member(member, body.validated_data, user)
        member.refresh_from_db()
        return Response(show_member(member))


def change_member(member: Membership, asked: dict[str, Any], user: Any) -> None:
    if asked.get("paused") is True:
        pausing.pause(member=member, reason=asked.get("reason", ""), actor=user)
    elif asked.get("paused") is False:
        pausing.resume(member=member, actor=user)
    if asked.get("withheld") is True:
        pausing.withhold(member=member, actor=user)
    elif asked.get("withheld") is False:
        pausing.give_back(member=member, actor=user)


class Guidelines(View):
    @listing("queues_guidelines", serializers.GuidelinesOut)
    def get(self, request: Request, slug: str) -> Response:
        """Every version of the queue's guidelines; a judgment carries the number of the one it was made under."""
        queue = queues.find(slug=slug, user=person(request))
        return paged(self, queue.guidelines_versions.all(), show_version)


class Costs(View):
    @extend_schema(operation_id="queues_costs", responses=serializers.CostsOut)
    def get(self, request: Request, slug: str) -> Response:
        """People's time in the queue and what it came to, by use."""
        queue = queues.find(slug=slug, user=person(request), manage=True)
        found = money.summary(queues=[queue])
        bill = found.pop("bill")
        uses = {
            use: {"count": part.count, "cost": part.cost, "elapsed_hours": round(part.hours, 4),
                  "active_hours": round(part.active_hours, 4)}
            for use, part in bill.by_use().items()
        }  # fmt: skip
        return Response({**found, "elapsed_hours": round(bill.hours, 4), "active_hours": round(bill.active_hours, 4),
                         "by_use": uses})  # fmt: skip


class ReviewNext(View):
    @extend_schema(operation_id="queues_review", responses=serializers.ReviewItem)
    def get(self, request: Request, slug: str) -> Response:
        """The next judgment to review, without its author: flagged, then disputed, then some of everybody's."""
        user = person(request)
        queue = queues.find(slug=slug, user=user)
        if not review.may_review(queue, user):
            raise NotAllowed("This needs a reviewer of the queue.")
        found = review.next_one(queue=queue, reviewer=user)
        if found is None:
            return Response({"judgment": None, "reason": None, "item": None, "answer": None})
        judgment, why = found
        shown = judgment.assignment
        assert shown is not None  # what is imported is not reviewed
        shown.item, shown.queue = judgment.item, queue
        return Response({
            "judgment": str(judgment.pk), "reason": why, "item": presenting.payload(shown)["item"],
            "answer": {**judgment.answer, "slot": judgment.evidence.get("slot")},
        })  # fmt: skip


class Review(View):
    @extend_schema(
        operation_id="judgments_review", request=serializers.ReviewIn, responses={201: serializers.ReviewOut}
    )
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Accept, correct (with `body` as for a judgment) or reject (with a note); then its author is told."""
        user = person(request)
        judgment = review.find(judgment_id=id, reviewer=user)
        body = serializers.ReviewIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        done = review.decide(judgment=judgment, reviewer=user, **body.validated_data)
        author = judgment.author.username if judgment.author else judgment.annotator
        return Response({"judgment": str(id), "outcome": done.outcome, "author": author}, status=201)


def show_event(event: Event) -> dict[str, Any]:
    return {
        "at": event.at, "actor": event.actor.username if event.actor else None, "verb": event.verb,
        "object_type": event.object_type, "object_id": event.object_id, "before": event.before, "after": event.after,
    }  # fmt: skip


def show_member(member: Membership) -> dict[str, Any]:
    return {
        "username": member.user.username, "role": member.role, "kind": member.kind,
        "paused_at": member.paused_at, "paused_reason": member.paused_reason, "appeal": member.appeal,
    }  # fmt: skip


def show_version(version: GuidelinesVersion) -> dict[str, Any]:
    return {"number": version.number, "text": version.text, "rubric": version.rubric, "created_at": version.created_at}
