from __future__ import annotations

import logging
import time

import pytest
from celery import current_app
from django.db import transaction

from feedback.wake import wake

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("url", ["redis+socket:///nowhere/redis.sock", "redis://127.0.0.1:1/0"])
def test_a_dead_broker_costs_no_time_and_raises_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(current_app.conf, "broker_url", url)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), transaction.atomic():
        wake("rlhf.tasks.run_job", "x")
    assert time.monotonic() - began < 2
    assert "could not wake rlhf.tasks.run_job" in caplog.text


def test_nobody_is_woken_for_what_was_rolled_back(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        wake("rlhf.tasks.run_job", "x")
        raise ZeroDivisionError
    assert caplog.text == ""
