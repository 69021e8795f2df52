"""What happened: audit trail and outbox in one."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Event(models.Model):
    """One change, written in the transaction of the verb that made it."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    verb = models.CharField(max_length=60)
    object_type = models.CharField(max_length=30)
    object_id = models.CharField(max_length=100)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    outbox = models.BooleanField(default=False)  # still to be handed to webhooks

    class Meta:
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="event_object"),
            models.Index(fields=["verb", "at"], name="event_verb"),
            models.Index(fields=["id"], condition=models.Q(outbox=True), name="event_outbox"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.object_type} {self.object_id}"
