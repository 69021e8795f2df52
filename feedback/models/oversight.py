"""How the people who run a queue look after it: guidelines, review, calibration, flags, and letting people in."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from ..lifecycle import choices, status_check
from .judgments import Judgment
from .queues import Item, Queue


class GuidelinesVersion(models.Model):
    """What annotators were told, as of a number; a judgment carries the number it was made under."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="guidelines_versions")
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True, default="")
    rubric = models.JSONField(null=True, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "number"], name="guidelines_number_once")]


class Review(models.Model):
    """What a reviewer, blind to its author, decided about one judgment."""

    OUTCOMES = ("accepted", "corrected", "rejected")

    judgment = models.OneToOneField(Judgment, on_delete=models.PROTECT, related_name="review")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    reason = models.CharField(max_length=10)  # why it was looked at
    outcome = models.CharField(max_length=10)
    note = models.TextField(blank=True, default="")
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)  # by the annotator
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=("accepted", "corrected", "rejected")), name="review_outcome_known"
            ),
            models.CheckConstraint(
                condition=Q(reason__in=("disputed", "sample", "flagged")), name="review_reason_known"
            ),
        ]


class Comment(models.Model):
    """What somebody who looks after the queue wrote about an item."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)


class FlagCase(models.Model):
    """Two people flagged the same harm in an item: it is held until the role that the queue names decides."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="flag_cases")
    flag = models.CharField(max_length=30)
    status = models.CharField(max_length=10, choices=choices("flagcase"), default="raised")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            status_check("flagcase"),
            models.UniqueConstraint(fields=["item", "flag"], name="flagcase_once"),
        ]


class Calibration(models.Model):
    """A group labels the same items blind, looks at the spread, and writes better guidelines."""

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="calibrations")
    items = models.ManyToManyField(Item, related_name="calibrations")
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="calibrations")
    status = models.CharField(max_length=12, choices=choices("calibration"), default="labelling")
    version_before = models.PositiveIntegerField()
    version_after = models.PositiveIntegerField(null=True, blank=True)
    notes = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            status_check("calibration"),
            models.UniqueConstraint(
                fields=["queue"], condition=~Q(status="closed"), name="calibration_one_open_a_queue"
            ),
        ]


class Invitation(models.Model):
    """A one-time link: it lets a new person in, or lets somebody choose a new password. Only its hash is kept."""

    KINDS = ("join", "reset")

    kind = models.CharField(max_length=6)
    digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="invitations"
    )  # whose password; or who joined by it
    role = models.CharField(max_length=16, default="annotator")
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.CASCADE, related_name="invitations")
    queue_role = models.CharField(max_length=10, default="annotator")
    group = models.ForeignKey("auth.Group", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=("join", "reset")), name="invitation_kind_known"),
            models.CheckConstraint(condition=Q(kind="join") | Q(user__isnull=False), name="invitation_reset_of_whom"),
        ]
