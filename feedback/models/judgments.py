"""What annotators said, and what follows from it. A judgment is never changed; the rest can be rebuilt."""

from __future__ import annotations

import uuid6
from django.conf import settings
from django.db import models
from django.db.models import Q

from .content import Response
from .queues import PURPOSES, Assignment, Item, Queue

OUTCOMES = ("a", "b", "tie", "both_bad")


class Judgment(models.Model):
    """What one annotator said about one item. `answer` names responses by position, never by side shown."""

    KINDS = ("human", "simulated", "model")

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="judgments")
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="judgments", db_index=False)
    assignment = models.ForeignKey(
        Assignment, null=True, blank=True, on_delete=models.PROTECT, related_name="judgments"
    )  # none where it was imported, or corrects another
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="judgments",
        db_index=False,  # as for the queue: judgment_author_time begins with it
    )  # fmt: skip
    annotator = models.CharField(max_length=150, blank=True, default="")  # a name from an imported file
    author_kind = models.CharField(max_length=10, default="human")
    purpose = models.CharField(max_length=8, default="label")  # as of its assignment; only `label` teaches
    answer = models.JSONField()
    wrote = models.ForeignKey(
        Response, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )  # the better answer that an edit brought
    spans = models.JSONField(default=list, blank=True)  # [{"response": position, "quote", "start", "mark"}]
    strength = models.PositiveSmallIntegerField(null=True, blank=True)
    rationale = models.TextField(blank=True, default="")
    flags = models.JSONField(default=list, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    evidence = models.JSONField(default=dict, blank=True)  # order shown, side picked, key or mouse
    guidelines_version = models.PositiveIntegerField(default=1)
    supersedes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_reason = models.CharField(max_length=300, blank=True, default="")
    withheld_at = models.DateTimeField(null=True, blank=True)  # left out while its author is in doubt; can come back
    idempotency_key = models.CharField(max_length=100, null=True, blank=True)
    body_hash = models.CharField(max_length=64, blank=True, default="")
    gathered_at = models.DateTimeField(null=True, blank=True)  # when preferences last took it in; null = to do
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["assignment"],
                condition=Q(withdrawn_at__isnull=True),
                name="judgment_once_an_assignment",
            ),
            models.UniqueConstraint(fields=["author", "idempotency_key"], name="judgment_idempotency"),
            models.CheckConstraint(
                condition=Q(strength__isnull=True) | Q(strength__gte=1, strength__lte=3),
                name="judgment_strength_range",
            ),
            models.CheckConstraint(
                condition=Q(author_kind__in=("human", "simulated", "model")),
                name="judgment_author_kind_known",
            ),
            models.CheckConstraint(condition=Q(purpose__in=PURPOSES), name="judgment_purpose_known"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(gathered_at__isnull=True), name="judgment_to_gather"),
            models.Index(fields=["queue", "created_at"], name="judgment_queue_time"),
            models.Index(fields=["author", "-created_at"], name="judgment_author_time"),
        ]


class Comparison(models.Model):
    """One pair that a judgment implies. Derived: `rebuild_derived` makes it again.

    Derived rows carry no foreign key checks and one index each: settling a million of them is mostly that.
    """

    judgment = models.ForeignKey(
        Judgment, on_delete=models.CASCADE, related_name="comparisons", db_constraint=False, db_index=False
    )
    a = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    b = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    outcome = models.CharField(max_length=8)
    strength = models.PositiveSmallIntegerField(null=True, blank=True)
    weight = models.FloatField(default=1.0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["judgment", "a", "b"], name="comparison_once"),
            models.CheckConstraint(condition=Q(outcome__in=OUTCOMES), name="comparison_outcome_known"),
            models.CheckConstraint(condition=~Q(a=models.F("b")), name="comparison_two_responses"),
        ]


class Preference(models.Model):
    """Counts of one (item, unordered pair), `a` before `b` by position in the item. Recomputed, never added to."""

    item = models.ForeignKey(
        Item, on_delete=models.CASCADE, related_name="preferences", db_constraint=False, db_index=False
    )
    a = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    b = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    n_a = models.PositiveIntegerField(default=0)
    n_b = models.PositiveIntegerField(default=0)
    n_tie = models.PositiveIntegerField(default=0)
    n_both_bad = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "a", "b"], name="preference_once"),
            models.CheckConstraint(condition=~Q(a=models.F("b")), name="preference_two_responses"),
        ]
