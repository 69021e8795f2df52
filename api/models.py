"""What the outer door itself owns: tokens, webhooks and their deliveries."""

from __future__ import annotations

import uuid6
from django.conf import settings
from django.db import models

from feedback.lifecycle import choices, status_check
from feedback.models import Event


class Token(models.Model):
    """A program's key to the API. Only its hash is kept; the token is shown once."""

    SCOPES = ("pull",)  # carrying out runs elsewhere, and nothing else

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    name = models.CharField(max_length=100, blank=True, default="")
    scope = models.CharField(max_length=10, blank=True, default="")  # one of SCOPES; "": all that its user may do
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user} {self.hint}…"


class Webhook(models.Model):
    """An address that wants to know. The secret signs what is sent, so it is kept as it is."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    events = models.JSONField()
    secret = models.CharField(max_length=100)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """One event on its way to one address. The row is the job; `not_before` is both backoff and lease."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=10, choices=choices("delivery"), default="waiting")
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField()
    answer_status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            status_check("delivery"),
            models.UniqueConstraint(fields=["webhook", "event"], name="delivery_once"),
        ]
        indexes = [
            models.Index(fields=["not_before"], condition=models.Q(status="waiting"), name="delivery_due"),
        ]
