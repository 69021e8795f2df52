"""What the outer door's workers do in one sweep."""

from __future__ import annotations

from typing import Any

import pytest

from api import tasks, webhooks
from api.models import Delivery
from feedback import events
from tests.api.conftest import Caller
from tests.api.test_outgoing import receiver as receiver
from tests.factories import make_item, make_queue

pytestmark = pytest.mark.django_db


def test_one_sweep_takes_an_event_all_the_way(engineer: Caller, receiver: Any) -> None:
    assert engineer.user is not None
    webhooks.create(owner=engineer.user, url=receiver.url, wanted=["item.settled"])
    events.record("item.settled", make_item(make_queue()))
    assert tasks.send_webhooks() == 1
    assert Delivery.objects.get().status == "delivered"
