"""Webhooks and the log of their deliveries."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, webhooks, wire
from api.models import Delivery, Webhook
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback.errors import NotFound


class Webhooks(View):
    roles = {"*": ENGINEERS}

    @listing("webhooks_list", serializers.WebhookOut)
    def get(self, request: Request) -> Response:
        """Your webhooks that are active, newest first; an admin sees everybody's."""
        return paged(self, visible(request), show)

    @extend_schema(
        operation_id="webhooks_create",
        request=serializers.WebhookIn,
        responses={201: serializers.WebhookMade},
    )
    def post(self, request: Request) -> Response:
        """Be told about events. The secret that signs the deliveries is shown here and never again."""
        body = serializers.WebhookIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        data = body.validated_data
        hook = webhooks.create(
            owner=person(request), url=data["url"], wanted=data["events"], secret=data.get("secret", "")
        )
        return Response({**show(hook), "secret": hook.secret}, status=201)


class OneWebhook(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="webhooks_delete", responses={204: None})
    def delete(self, request: Request, id: uuid.UUID) -> Response:
        """Stop telling."""
        webhooks.remove(hook=one(request, id), actor=person(request))
        return Response(status=204)


class Deliveries(View):
    roles = {"*": ENGINEERS}

    @listing("deliveries_list", serializers.DeliveryOut)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """What was sent to this address, or is going to be, newest first."""
        rows = Delivery.objects.filter(webhook=one(request, id)).select_related("event")
        return paged(self, rows, show_delivery)


class Retry(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="deliveries_retry", request=None, responses={202: serializers.DeliveryOut})
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Send again what was given up."""
        rows = Delivery.objects.filter(webhook__in=visible(request)).select_related("event")
        found = rows.filter(pk=id).first()
        if found is None:
            raise NotFound("There is no such delivery of yours.")
        return Response(show_delivery(webhooks.retry(delivery=found)), status=202)


def visible(request: Request) -> Any:
    mine = {} if person(request).is_admin else {"owner": person(request)}
    return Webhook.objects.filter(active=True, **mine)


def one(request: Request, id: uuid.UUID) -> Webhook:
    hook = visible(request).filter(pk=id).first()
    if hook is None:
        raise NotFound("There is no such webhook of yours.")
    return hook


def show(hook: Webhook) -> dict[str, Any]:
    return {"id": str(hook.pk), "url": hook.url, "events": hook.events, "created_at": hook.created_at}


def show_delivery(row: Delivery) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "event": row.event.verb,
        "object": {"type": row.event.object_type, "id": row.event.object_id},
        "status": row.status,
        "attempts": row.attempts,
        "answer_status": row.answer_status,
        "error": row.error,
        "next_at": row.not_before if row.status == "waiting" else None,
        "created_at": row.created_at,
        "delivered_at": row.delivered_at,
    }
