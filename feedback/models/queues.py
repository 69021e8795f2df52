"""Label queues and what waits in them: items, seats, and the leases on those seats."""

from __future__ import annotations

import uuid
from functools import cache

import uuid6
from django.conf import settings
from django.db import models
from django.db.models import F, Q

from .. import rows
from ..lifecycle import choices, status_check
from .content import Prompt, Response

ARMS = ("control", "active", "import", "rule")
SELECTIONS = ("random", "infomax", "dopt", "dts", "sea", "drts")  # the rules that rlhf/selection_rules.py has
PURPOSES = ("label", "gold", "repeat", "practice", "judge")  # why an annotator was shown an item
SEATLESS = PURPOSES[1:]  # judge: a model judge, whose opinion takes nobody's seat
SKIP_POLICIES = ("others", "mine", "never")  # a skipped item goes to others, comes back to me, or cannot be skipped


class Queue(models.Model):
    """A label queue. `purpose` gate means its votes feed one decision and never train anything."""

    KINDS = ("comparison", "ranking", "rating", "thumbs", "edit")
    PURPOSES = ("label", "gate")
    CONTENT_LEVELS = ("general", "sensitive", "harmful")

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=12, default="comparison")
    purpose = models.CharField(max_length=8, default="label")
    guidelines = models.TextField(blank=True, default="")
    guidelines_version = models.PositiveIntegerField(default=1)
    rubric = models.JSONField(null=True, blank=True)
    overlap = models.PositiveSmallIntegerField(default=1)
    lease_seconds = models.PositiveIntegerField(default=600)
    max_skips = models.PositiveSmallIntegerField(default=3)  # an item skipped as often is unusable
    skip_policy = models.CharField(max_length=8, default="others")
    skip_reason_required = models.BooleanField(default=False)
    gold_rate = models.FloatField(default=0)  # share of gold once the first `gold_start_items` are done; 0: none at all
    gold_start_rate = models.FloatField(default=0.2)
    gold_start_items = models.PositiveSmallIntegerField(default=50)
    qualify_of = models.PositiveSmallIntegerField(default=0)  # the first so many items are gold; 0: no qualification
    qualify_right = models.PositiveSmallIntegerField(default=0)  # of which so many must be right
    repeat_rate = models.FloatField(default=0)  # share of one's own items asked again
    repeat_after_days = models.PositiveSmallIntegerField(default=7)
    second_share = models.FloatField(default=0)  # of the items, this share gets one seat more than the overlap
    third_on_disagreement = models.BooleanField(default=False)
    languages = models.JSONField(default=list, blank=True)  # a member knows one of them
    skills = models.JSONField(default=list, blank=True)  # a member has all of them
    flag_role = models.CharField(max_length=10, default="reviewer")  # who decides when two people flag harm
    price_hour = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    selection = models.CharField(max_length=20, choices=[(s, s) for s in SELECTIONS], default="random")
    control_rate = models.FloatField(default=0.25)
    content_level = models.CharField(max_length=10, default="general")  # how hard its texts may be on the reader
    demo = models.BooleanField(default=False)  # only here do simulated people's votes count
    status = models.CharField(max_length=10, choices=choices("queue"), default="draft")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            status_check("queue"),
            models.CheckConstraint(condition=Q(overlap__gte=1, overlap__lte=50), name="queue_overlap_range"),
            models.CheckConstraint(condition=Q(lease_seconds__gte=5), name="queue_lease_minimum"),
            models.CheckConstraint(condition=Q(gold_rate__gte=0, gold_rate__lte=1), name="queue_gold_rate_share"),
            models.CheckConstraint(
                condition=Q(control_rate__gte=0, control_rate__lte=1), name="queue_control_rate_share"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=("comparison", "ranking", "rating", "thumbs", "edit")),
                name="queue_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(content_level__in=("general", "sensitive", "harmful")), name="queue_content_level_known"
            ),
            models.CheckConstraint(condition=Q(purpose__in=("label", "gate")), name="queue_purpose_known"),
            models.CheckConstraint(condition=Q(selection__in=SELECTIONS), name="queue_selection_known"),
            models.CheckConstraint(condition=Q(skip_policy__in=SKIP_POLICIES), name="queue_skip_policy_known"),
            models.CheckConstraint(
                condition=Q(gold_start_rate__gte=0, gold_start_rate__lte=1), name="queue_gold_start_rate_share"
            ),
            models.CheckConstraint(
                condition=Q(repeat_rate__gte=0, repeat_rate__lte=0.2), name="queue_repeat_rate_share"
            ),
            models.CheckConstraint(
                condition=Q(second_share__gte=0, second_share__lte=1), name="queue_second_share_share"
            ),
            models.CheckConstraint(condition=Q(qualify_right__lte=F("qualify_of")), name="queue_qualify_possible"),
            models.CheckConstraint(
                condition=Q(flag_role__in=("reviewer", "manager", "admin")), name="queue_flag_role_known"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """Who may work in a queue, and as what. Kinds of members never mix in figures."""

    ROLES = ("annotator", "reviewer", "manager")
    KINDS = ("human", "simulated", "model")

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, default="annotator")
    kind = models.CharField(max_length=10, default="human")
    paused_at = models.DateTimeField(null=True, blank=True)  # set: may not claim here
    paused_reason = models.TextField(blank=True, default="")
    paused_by_test = models.BooleanField(default=False)
    tested_from = models.DateTimeField(null=True, blank=True)  # gold answered before a resumption counts no more
    appeal = models.TextField(blank=True, default="")
    appealed_at = models.DateTimeField(null=True, blank=True)
    qualified_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["queue", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=Q(role__in=("annotator", "reviewer", "manager")), name="membership_role_known"
            ),
            models.CheckConstraint(condition=Q(kind__in=("human", "simulated", "model")), name="membership_kind_known"),
        ]


class ImportBatch(models.Model):
    """One file on its way in. Its items are `staged` until `done` makes them all visible at once.

    A file handed in on a page waits as `uploaded` (shown with its columns), then as `queued` for a worker.
    """

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="imports")
    name = models.CharField(max_length=300)
    format = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=choices("importbatch"), default="staging")
    report = models.JSONField(default=dict, blank=True)
    upload = models.CharField(max_length=200, blank=True, default="")  # the file's name under uploads/
    mapping = models.JSONField(default=dict, blank=True)  # what each of our fields is called in the file
    lines_done = models.PositiveIntegerField(default=0)
    lines_all = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [status_check("importbatch")]

    def __str__(self) -> str:
        return self.name


class Item(models.Model):
    """A prompt with its responses waiting in a queue. `key` is a content key: queue, prompt, responses."""

    key = models.UUIDField(unique=True, default=uuid.uuid4)
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="items")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="items")
    responses = models.ManyToManyField(Response, through="ItemResponse", related_name="items")
    arm = models.CharField(max_length=8, default="import")
    priority = models.IntegerField(default=0)
    position = models.PositiveIntegerField(default=0)  # the drawn order; a gate reads votes in it
    gold = models.JSONField(null=True, blank=True)  # the known answer; "attention": nobody who reads gets it wrong
    language = models.CharField(max_length=20, blank=True, default="")  # who does not know it is not asked
    skill = models.CharField(max_length=40, blank=True, default="")  # likewise
    batch = models.ForeignKey(ImportBatch, null=True, blank=True, on_delete=models.SET_NULL, related_name="items")
    status = models.CharField(max_length=10, choices=choices("item"), default="open")
    settled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            status_check("item"),
            models.CheckConstraint(condition=Q(arm__in=ARMS), name="item_arm_known"),
        ]
        indexes = [
            models.Index(fields=["queue", "status", "position"], name="item_queue_status"),
            models.Index(fields=["queue"], condition=Q(gold__isnull=False), name="item_gold"),
        ]

    def __str__(self) -> str:
        return str(self.key)

    count: int | None = None  # of its responses, where it is known

    def ordered_responses(self) -> list[Response]:
        """The responses by position, the order that judgments refer to (not the order shown)."""
        if not hasattr(self, "_ordered"):  # they never change
            rows.run(self.reading_responses())
        return self._ordered

    def reading_responses(self) -> rows.Step:
        """The step that reads them, for those who run several at once."""
        columns = _response_columns()
        sql = f"""SELECT {columns.sql} FROM feedback_itemresponse l
                  JOIN feedback_response r ON r.id = l.response_id WHERE l.item_id = %s ORDER BY l.position"""

        def then(_: int, found: list[rows.Row]) -> None:
            self._ordered = [columns.read(row) for row in found]

        return rows.Step(sql, [self.pk], then)


@cache
def _response_columns() -> rows.Columns[Response]:
    return rows.Columns(Response, "r")


class ItemResponse(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="links")
    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "position"], name="itemresponse_position_once"),
            models.UniqueConstraint(fields=["item", "response"], name="itemresponse_response_once"),
        ]


class Seat(models.Model):
    """One of the places of an item. Queue, priority and position are copied so that a claim reads one index."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="seats")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField()
    priority = models.IntegerField(default=0)
    position = models.PositiveIntegerField(default=0)
    reserved_for = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )  # nobody else may take it
    status = models.CharField(max_length=8, choices=choices("seat"), default="free")

    class Meta:
        constraints = [
            status_check("seat"),
            models.UniqueConstraint(fields=["item", "number"], name="seat_number_once"),
        ]
        indexes = [
            models.Index(
                "queue",
                F("priority").desc(),
                "position",
                "number",
                condition=Q(status="free", reserved_for__isnull=True),
                name="seat_free",
            ),
            models.Index(
                fields=["reserved_for", "queue"],
                condition=Q(status="free", reserved_for__isnull=False),
                name="seat_reserved",
            ),
        ]


class Assignment(models.Model):
    """A seat leased to one annotator, with the order in which the responses were shown.

    Gold, practice, repeats and a model judge's items take no seat: `purpose` says which of them it is.
    """

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    seat = models.ForeignKey(Seat, null=True, blank=True, on_delete=models.CASCADE, related_name="assignments")
    purpose = models.CharField(max_length=8, default="label")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="assignments")
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments")
    order = models.JSONField()  # positions of the responses as shown: [1, 0] puts the second on the left
    place = models.PositiveSmallIntegerField(default=0)  # 0 shown, 1 fetched ahead
    status = models.CharField(max_length=10, choices=choices("assignment"), default="leased")
    leased_at = models.DateTimeField()
    shown_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)  # judged, skipped, expired or handed back
    skip_reason = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints = [
            status_check("assignment"),
            models.UniqueConstraint(
                fields=["seat"], condition=Q(status__in=("leased", "judged")), name="seat_taken_once"
            ),
            models.UniqueConstraint(
                fields=["annotator", "queue", "place"], condition=Q(status="leased"), name="lease_place_once"
            ),
            models.UniqueConstraint(
                fields=["annotator", "item"],
                condition=Q(status__in=("leased", "judged")) & ~Q(purpose="repeat"),
                name="item_once_a_person",
            ),
            models.UniqueConstraint(
                fields=["annotator", "item"],
                condition=Q(status__in=("leased", "judged"), purpose="repeat"),
                name="repeat_once_a_person",
            ),
            models.CheckConstraint(condition=Q(purpose__in=PURPOSES), name="assignment_purpose_known"),
            models.CheckConstraint(
                condition=Q(purpose="label", seat__isnull=False) | Q(purpose__in=SEATLESS, seat__isnull=True),
                name="assignment_seat_if_label",
            ),
            models.CheckConstraint(condition=Q(place__in=(0, 1)), name="assignment_place_known"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(status="leased"), name="lease_expiry"),
            models.Index(fields=["annotator", "item"], name="assignment_seen"),
        ]
