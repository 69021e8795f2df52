"""What happened in production: an answer that was given, and what its reader made of it."""

from __future__ import annotations

import uuid6
from django.db import models
from django.db.models import Q

from .content import Policy


class Interaction(models.Model):
    """One answer given in production. Without consent its text is never stored, only its measures."""

    CONSENTS = ("none", "monitor", "train")  # only `train` may enter a queue

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    policy = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="interactions")
    model = models.CharField(max_length=200, blank=True, default="")  # what the caller named: an alias, a slug
    messages = models.JSONField(default=list, blank=True)
    content = models.TextField(blank=True, default="")
    consent = models.CharField(max_length=8, default="monitor")
    session_id = models.CharField(max_length=200, blank=True, default="")
    user_id = models.CharField(max_length=200, blank=True, default="")  # theirs, not ours: deletion goes by it
    tags = models.JSONField(default=list, blank=True)
    scores = models.JSONField(default=dict, blank=True)
    characters = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    thumb = models.CharField(max_length=4, blank=True, default="")  # the last reaction's, for filters and rates
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(consent__in=("none", "monitor", "train")), name="interaction_consent"),
            models.CheckConstraint(condition=Q(thumb__in=("", "up", "down")), name="interaction_thumb_known"),
            models.CheckConstraint(
                condition=~Q(consent="none") | Q(content="", user_id=""), name="interaction_no_text_without_consent"
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="interaction_time"),
            models.Index(fields=["policy", "created_at"], name="interaction_policy_time"),
            models.Index(fields=["user_id"], condition=~Q(user_id=""), name="interaction_user"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Reaction(models.Model):
    """What an end user said of an answer. Appended to, never changed: the last one with a thumb counts."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    interaction = models.ForeignKey(Interaction, on_delete=models.CASCADE, related_name="reactions")
    thumb = models.CharField(max_length=4, blank=True, default="")
    correction = models.TextField(blank=True, default="")
    comment = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(thumb__in=("", "up", "down")), name="reaction_thumb_known"),
            models.CheckConstraint(
                condition=~Q(thumb="") | ~Q(correction="") | ~Q(comment=""), name="reaction_says_something"
            ),
        ]
