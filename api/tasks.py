"""What workers do for the outer door."""

from __future__ import annotations

from celery import shared_task

from . import webhooks


@shared_task
def send_webhooks() -> int:
    """Turn new events into deliveries and send what is due."""
    webhooks.fan_out()
    return webhooks.send_due()
