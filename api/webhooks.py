"""Webhooks: events that are marked for the outbox become deliveries, and deliveries are sent until they arrive.

`fan_out` claims events by their flag, not by a cursor: transactions commit out of the order of their ids.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import time
from datetime import timedelta
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from api import outgoing
from api.models import Delivery, Webhook
from feedback import events
from feedback.errors import BadInput, Conflict, StaleTransition
from feedback.lifecycle import advance
from feedback.models import Event, User
from feedback.wake import wake

BATCH = 500
LEASE = timedelta(seconds=60)  # longer than a POST may take
MOST_ATTEMPTS = 14  # the last most of a day after the first
PATIENCE = 20.0  # seconds that one sweep sends for: a receiver that hangs must not hold the worker
FIRST_WAIT, LONGEST_WAIT = 10.0, 6 * 3600.0  # seconds


@transaction.atomic
def create(*, owner: User, url: str, wanted: list[str], secret: str = "") -> Webhook:
    """Ask to be told. Raises BadInput for an address that may not be talked to, or an event that we do not have."""
    unknown = sorted(set(wanted) - set(events.PUBLISHED))
    if unknown or not wanted:
        what = f"{unknown[0]!r} is none of" if unknown else "name at least one of"
        raise BadInput(f"events: {what} {', '.join(events.PUBLISHED)}.", where="events")
    try:
        outgoing.check(url)
    except outgoing.Refused as refused:
        raise BadInput(f"url: {refused}.", where="url") from refused
    secret = secret or secrets.token_urlsafe(32)
    hook = Webhook.objects.create(owner=owner, url=url, events=sorted(set(wanted)), secret=secret)
    events.record("webhook.created", hook, actor=owner, after={"url": url, "events": hook.events})
    return hook


@transaction.atomic
def remove(*, hook: Webhook, actor: User) -> None:
    """Stop telling; what was not delivered yet is not sent any more."""
    Webhook.objects.filter(pk=hook.pk).update(active=False)
    events.record("webhook.removed", hook, actor=actor, before={"url": hook.url})


def fan_out() -> int:
    """Turn waiting events into deliveries; returns how many events were looked at."""
    seen = 0
    while batch := _fan_out_batch():
        seen += batch
    return seen


@transaction.atomic
def _fan_out_batch() -> int:
    waiting = Event.objects.filter(outbox=True).order_by("pk")
    if connection.vendor == "postgresql":
        waiting = waiting.select_for_update(skip_locked=True)
    found = list(waiting[:BATCH])
    hooks = list(Webhook.objects.filter(active=True))
    now = timezone.now()
    rows = [
        Delivery(webhook=hook, event=event, not_before=now)
        for event in found
        for hook in hooks
        if event.verb in hook.events and hook.created_at <= event.at
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    Event.objects.filter(pk__in=[event.pk for event in found]).update(outbox=False)
    if rows:
        wake("api.tasks.send_webhooks")
    return len(found)


def send_due(*, limit: int = 200) -> int:
    """Send what is due, oldest first, for a while; returns how many arrived."""
    due = Delivery.objects.filter(status="waiting", not_before__lte=timezone.now(), webhook__active=True)
    arrived, until = 0, time.monotonic() + PATIENCE
    for pk in due.order_by("not_before").values_list("pk", flat=True)[:limit]:
        if time.monotonic() > until:
            break
        arrived += send(delivery_id=pk)
    return arrived


def send(*, delivery_id: Any) -> bool:
    """One attempt. Of several workers one makes it; a worker that dies in it leaves the row to be sent again."""
    now = timezone.now()
    mine = Delivery.objects.filter(pk=delivery_id, status="waiting", not_before__lte=now)
    if not mine.update(not_before=now + LEASE):
        return False
    delivery = Delivery.objects.select_related("webhook", "event").get(pk=delivery_id)
    try:
        status, error = _post(delivery), ""
    except outgoing.Refused as refused:
        status, error = None, str(refused)[:300]
    try:
        return _conclude(delivery, status, error)
    except StaleTransition:  # it took longer than the lease, and the next one was faster
        return False


def _post(delivery: Delivery) -> int:
    body = orjson.dumps(payload(delivery))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Plumbline",
        "Plumbline-Event": delivery.event.verb,
        "Plumbline-Signature": signature(delivery.webhook.secret, body, int(time.time())),
    }
    return outgoing.post(delivery.webhook.url, body, headers)


def payload(delivery: Delivery) -> dict[str, Any]:
    """The body. `id` stays the same when a delivery is tried again, so that a receiver can drop the second."""
    event = delivery.event
    return {
        "id": str(delivery.pk),
        "event": event.verb,
        "at": event.at.isoformat(),
        "object": {"type": event.object_type, "id": event.object_id},
        "data": event.after or {},
    }


def signature(secret: str, body: bytes, now: int) -> str:
    """`t=SECONDS,v1=HMAC-SHA256(secret, "t.body")`: the time is signed too, so that an old body cannot be replayed."""
    mac = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={mac}"


def _conclude(delivery: Delivery, status: int | None, error: str) -> bool:
    attempts = delivery.attempts + 1
    fields = {"attempts": attempts, "answer_status": status, "error": error}
    if status is not None and 200 <= status < 300:
        advance(delivery, "delivered", delivered_at=timezone.now(), **fields)
        return True
    if attempts >= MOST_ATTEMPTS:
        advance(delivery, "failed", **fields)
        return False
    again = timezone.now() + timedelta(seconds=backoff(attempts, random.random()))
    Delivery.objects.filter(pk=delivery.pk, status="waiting").update(not_before=again, **fields)
    return False


def backoff(attempts: int, chance: float) -> float:
    """Seconds until the next attempt: doubling to a ceiling, and `chance` in [0, 1) takes up to half of it off."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2**attempts) * (1 - chance / 2)


def retry(*, delivery: Delivery) -> Delivery:
    """Send again what was given up. Raises Conflict for a delivery that arrived or is still being tried."""
    if delivery.status != "failed":
        raise Conflict(f"This delivery is {delivery.status}; there is nothing to send again.", state=delivery.status)
    with transaction.atomic():
        advance(delivery, "waiting", attempts=0, not_before=timezone.now(), error="")
        wake("api.tasks.send_webhooks")
    return delivery
