"""Events reach the addresses that asked for them: signed, retried, and logged."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from api import webhooks
from api.models import Delivery, Webhook
from feedback import events
from feedback.models import Event
from tests.api.conftest import Caller
from tests.api.test_outgoing import receiver as receiver
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db
URL = "https://93.184.216.34/hook"


def happened(verb: str = "item.settled") -> Event:
    return events.record(verb, make_item(make_queue()), after={"n": 1})


def make_hook(engineer: Caller, url: str = URL, wanted: tuple[str, ...] = ("item.settled",)) -> Webhook:
    assert engineer.user is not None
    return webhooks.create(owner=engineer.user, url=url, wanted=list(wanted))


def due_now() -> None:
    Delivery.objects.filter(status="waiting").update(not_before=timezone.now())


def test_an_event_becomes_one_delivery_for_each_address_that_asked(engineer: Caller) -> None:
    make_hook(engineer), make_hook(engineer), make_hook(engineer, wanted=("run.finished",))
    happened(), happened("decision.made")
    assert webhooks.fan_out() == 2
    assert webhooks.fan_out() == 0
    assert list(Delivery.objects.values_list("event__verb", flat=True)) == ["item.settled"] * 2


def test_events_before_the_webhook_are_not_told(engineer: Caller) -> None:
    happened()
    make_hook(engineer)
    webhooks.fan_out()
    assert not Delivery.objects.exists()


def test_events_that_nobody_may_ask_for_never_enter_the_outbox() -> None:
    assert not happened("judgment.made").outbox


def test_a_delivery_carries_the_event_and_a_signature_over_time_and_body(engineer: Caller, receiver: Any) -> None:
    hook = make_hook(engineer, receiver.url)
    event = happened()
    webhooks.fan_out()
    assert webhooks.send_due() == 1
    (_, headers, body), *rest = receiver.seen
    assert not rest
    stamp, mac = (part.split("=")[1] for part in headers["Plumbline-Signature"].split(","))
    assert mac == hmac.new(hook.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Plumbline-Event"] == "item.settled"
    sent = json.loads(body)
    assert (sent["object"], sent["data"]) == ({"type": "item", "id": event.object_id}, {"n": 1})
    assert Delivery.objects.get().status == "delivered"


def test_a_delivery_that_fails_waits_and_is_sent_again_with_the_same_id(engineer: Caller, receiver: Any) -> None:
    make_hook(engineer, receiver.url)
    happened()
    webhooks.fan_out()
    receiver.status = 500
    assert webhooks.send_due() == 0
    row = Delivery.objects.get()
    assert (row.status, row.attempts, row.answer_status) == ("waiting", 1, 500)
    assert row.not_before > timezone.now() + timedelta(seconds=9)
    assert webhooks.send_due() == 0 and len(receiver.seen) == 1  # not before its time
    receiver.status = 204
    due_now()
    assert webhooks.send_due() == 1
    first, second = (json.loads(body)["id"] for _, _, body in receiver.seen)
    assert first == second


def test_after_the_last_attempt_it_is_given_up_and_can_be_sent_by_hand(engineer: Caller, receiver: Any) -> None:
    make_hook(engineer, receiver.url)
    happened()
    webhooks.fan_out()
    receiver.status = 503
    for _ in range(webhooks.MOST_ATTEMPTS):
        due_now()
        webhooks.send_due()
    row = Delivery.objects.get()
    assert (row.status, len(receiver.seen)) == ("failed", webhooks.MOST_ATTEMPTS)
    receiver.status = 200
    status, answer = engineer.post(f"/deliveries/{row.pk}/retry/")
    assert (status, answer["status"]) == (202, "waiting")
    assert webhooks.send_due() == 1


def test_two_workers_do_not_send_the_same_delivery_at_once(engineer: Caller, receiver: Any) -> None:
    make_hook(engineer, receiver.url)
    happened()
    webhooks.fan_out()
    row = Delivery.objects.get()
    Delivery.objects.update(not_before=timezone.now() + webhooks.LEASE)  # another worker has just claimed it
    assert not webhooks.send(delivery_id=row.pk)
    assert not receiver.seen


def test_waiting_doubles_to_a_ceiling_and_is_spread() -> None:
    assert webhooks.backoff(1, 0.0) == 20 and webhooks.backoff(2, 0.0) == 40
    assert webhooks.backoff(1, 1.0) == 10
    assert webhooks.backoff(30, 0.0) == webhooks.LONGEST_WAIT


def test_the_secret_is_shown_once(engineer: Caller) -> None:
    status, made = engineer.post("/webhooks/", {"url": URL, "events": ["run.finished"]})
    assert status == 201 and len(made["secret"]) > 30
    _, listed = engineer.get("/webhooks/")
    assert listed["results"] == [{k: v for k, v in made.items() if k != "secret"}]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"url": "http://127.0.0.1/x", "events": ["run.finished"]}, "url"),
        ({"url": "http://[::ffff:10.0.0.1]/", "events": ["run.finished"]}, "url"),
        ({"url": URL, "events": ["judgment.made"]}, "events"),
        ({"url": URL, "events": []}, "events"),
        ({"events": ["run.finished"]}, "url"),
    ],
)
def test_a_bad_webhook_is_refused_and_the_place_is_named(engineer: Caller, body: Any, where: str) -> None:
    status, answer = engineer.post("/webhooks/", body)
    assert (status, answer["error"]["details"]["where"]) == (400, where)
    assert not Webhook.objects.exists()


def test_a_removed_webhook_is_told_nothing_more(engineer: Caller, receiver: Any) -> None:
    hook = make_hook(engineer, receiver.url)
    happened()
    webhooks.fan_out()
    assert engineer.call("DELETE", f"/webhooks/{hook.pk}/").status_code == 204
    assert webhooks.send_due() == 0 and not receiver.seen
    assert engineer.get(f"/webhooks/{hook.pk}/deliveries/")[0] == 404


def test_one_engineers_webhooks_do_not_exist_for_another(engineer: Caller, admin: Caller) -> None:
    hook = make_hook(engineer)
    other = Caller(make_user("eric", role="engineer"))
    assert other.get(f"/webhooks/{hook.pk}/deliveries/")[0] == 404
    assert admin.get(f"/webhooks/{hook.pk}/deliveries/")[0] == 200
