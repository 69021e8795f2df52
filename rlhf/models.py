"""What machines learned, and what was decided about it."""

from __future__ import annotations

import uuid6
from django.conf import settings
from django.db import models
from django.db.models import Q

from feedback.lifecycle import choices, status_check
from feedback.models import Policy, Queue


class Base(models.Model):
    """A model that policies may stand on, by name: an artifact of ours."""

    name = models.SlugField(max_length=100, unique=True)
    digest = models.CharField(max_length=64)
    run = models.ForeignKey("Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class RewardDataset(models.Model):
    """A frozen, content-addressed snapshot of preferences."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    name = models.CharField(max_length=120)
    queues = models.ManyToManyField(Queue, related_name="datasets")
    recipe = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=choices("rewarddataset"), default="queued")
    digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    artifact = models.CharField(max_length=64, blank=True, default="")
    counts = models.JSONField(default=dict, blank=True)
    error = models.CharField(max_length=500, blank=True, default="")
    withdrawn_judgments = models.PositiveIntegerField(default=0)  # of those it rests on; lineage.mark_withdrawn
    leaks = models.JSONField(null=True, blank=True)  # reward_datasets.report_leaks; null = not looked at yet
    withdrawals_seen = models.TextField(blank=True, default="")  # what that count was made from
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            status_check("rewarddataset"),
            models.CheckConstraint(condition=~Q(status="ready") | ~Q(digest=""), name="dataset_ready_has_digest"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def simulated(self) -> bool:
        return bool(self.counts.get("simulated_judgments"))


class Run(models.Model):
    """One job of the engine. The row is the job: a message only wakes someone."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    kind = models.CharField(max_length=10)
    dataset = models.ForeignKey(RewardDataset, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    policy = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="runs")
    base = models.CharField(max_length=100, blank=True, default="")
    reward_model = models.ForeignKey(
        "RewardModel", null=True, blank=True, on_delete=models.PROTECT, related_name="used_by"
    )
    config = models.JSONField(default=dict, blank=True)
    inputs = models.JSONField(default=dict, blank=True)  # what the kind needs to lay out its directory
    plan = models.JSONField(default=dict, blank=True)  # made before it started: planning.plan
    stands_on = models.JSONField(default=dict, blank=True)  # digests of what was laid out, by name
    worker_queue = models.CharField(max_length=40, default="train")  # whose workers may take it
    seed = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=choices("run"), default="queued")
    note = models.CharField(max_length=500, blank=True, default="")  # why it waits, why it failed: plain words
    attempt = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)  # in a row, without a new step between them
    owner = models.CharField(max_length=120, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.BooleanField(default=False)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    phase = models.CharField(max_length=80, blank=True, default="")
    result = models.JSONField(default=dict, blank=True)
    error = models.JSONField(null=True, blank=True)
    log_tail = models.TextField(blank=True, default="")
    artifact = models.CharField(max_length=64, blank=True, default="")
    produced_policy = models.OneToOneField(
        Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="produced_by"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            status_check("run"),
            models.CheckConstraint(condition=~Q(status="done") | ~Q(artifact=""), name="run_done_has_artifact"),
        ]
        indexes = [models.Index(fields=["status", "heartbeat_at"], name="run_sweep")]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.id)[:13]}"

    @property
    def finished(self) -> bool:
        return self.status in ("done", "failed", "cancelled")


class RunMetric(models.Model):
    """One figure of a run at one step; after a resume the later line of a step wins."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    value = models.FloatField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name", "step"], name="metric_once_a_step")]


class RunSample(models.Model):
    """What the model of a run answered at a checkpoint; after a resume the later answer wins."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    key = models.CharField(max_length=32)  # of the prompt's text
    prompt = models.TextField()
    content = models.TextField(blank=True)

    class Meta:
        ordering = ["key", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "key", "step"], name="sample_once_a_step")]


class RewardModel(models.Model):
    """A trained scorer: an ensemble head on frozen features, or a sequence classifier."""

    FORMS = ("head", "classifier")

    slug = models.SlugField(max_length=100, unique=True)
    form = models.CharField(max_length=10, default="head", choices=[(form, form) for form in FORMS])
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="reward_model_made")
    base = models.CharField(max_length=100)
    artifact = models.CharField(max_length=64)
    figures = models.JSONField(default=dict, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(form__in=("head", "classifier")), name="reward_model_form_known")
        ]

    def __str__(self) -> str:
        return self.slug


class EngineServer(models.Model):
    """A model kept in memory. The row is the job: whoever needs the model wants it, a keeper starts and stops it."""

    name = models.CharField(max_length=120, unique=True)  # policy:SLUG or reward:SLUG
    policy = models.OneToOneField(Policy, null=True, blank=True, on_delete=models.CASCADE, related_name="server")
    reward_model = models.OneToOneField(
        RewardModel, null=True, blank=True, on_delete=models.CASCADE, related_name="server"
    )
    status = models.CharField(max_length=8, choices=choices("engineserver"), default="wanted")
    attempt = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=120, blank=True, default="")
    socket = models.CharField(max_length=200, blank=True, default="")
    note = models.CharField(max_length=500, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    wanted_at = models.DateTimeField()  # when somebody last asked for it

    class Meta:
        constraints = [
            status_check("engineserver"),
            models.CheckConstraint(
                condition=Q(policy__isnull=False) ^ Q(reward_model__isnull=False), name="server_of_one_model"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """Figures for a policy or a reward model on named material. A reward model's win rate is `predicted`."""

    policy = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.CASCADE, related_name="evaluations")
    reward_model = models.ForeignKey(
        RewardModel, null=True, blank=True, on_delete=models.CASCADE, related_name="evaluations"
    )
    material = models.CharField(max_length=120)  # e.g. "control arm of abc123, cross-fitted" or "gate prompts"
    figures = models.JSONField(default=dict)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.SET_NULL, related_name="evaluations")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(policy__isnull=False) ^ Q(reward_model__isnull=False),
                name="evaluation_of_one_thing",
            )
        ]


class Decision(models.Model):
    """Candidate against live: the rule fixed before the first vote, the verdict, and every figure it rested on."""

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    alias = models.CharField(max_length=80, default="production")
    candidate = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="decisions")
    live = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="defended")
    queue = models.OneToOneField(Queue, on_delete=models.PROTECT, related_name="decision")
    rule = models.JSONField()  # the fields of feedback.stats.sequential.Rule; alpha is divided already
    alternatives = models.PositiveSmallIntegerField(default=1)  # candidates of one round that share alpha
    entries = models.JSONField(default=list)  # drawn order: {"prompt", "candidate", "live", "item"} keys
    # Every fourth promotion is tested against the anchor too; its ballot opens when the first one is won.
    anchor = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="anchored")
    anchor_queue = models.OneToOneField(
        Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="anchor_decision"
    )
    anchor_entries = models.JSONField(default=list, blank=True)
    guardrails = models.JSONField(default=list, blank=True)  # declared before the first vote, with their power
    reward_model = models.ForeignKey(
        RewardModel, null=True, blank=True, on_delete=models.PROTECT, related_name="predictions"
    )  # its win rate is shown beside the people's and decides nothing
    runs = models.ManyToManyField(Run, blank=True, related_name="decisions")  # scores, KL
    seed = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=choices("decision"), default="voting")
    figures = models.JSONField(default=dict, blank=True)
    simulated = models.BooleanField(default=False)
    override_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    override_reason = models.CharField(max_length=500, blank=True, default="")
    note = models.CharField(max_length=500, blank=True, default="")  # why it waits, was abandoned, or did not turn
    marks = models.JSONField(default=list, blank=True)  # votes withdrawn afterwards, with the figures without them
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            status_check("decision"),
            models.CheckConstraint(condition=~Q(candidate=models.F("live")), name="decision_two_policies"),
            models.CheckConstraint(
                condition=Q(anchor__isnull=True) | ~Q(candidate=models.F("anchor")), name="decision_anchor_is_another"
            ),
            models.CheckConstraint(condition=Q(alternatives__gte=1), name="decision_has_a_candidate"),
        ]


class Deployment(models.Model):
    """An alias pointing at a policy; while a canary is out, at a second one for a share of the keys."""

    alias = models.SlugField(max_length=80, unique=True)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="deployments")
    canary = models.ForeignKey(
        Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="canary_deployments"
    )
    canary_share = models.FloatField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(canary__isnull=True, canary_share=0) | Q(canary__isnull=False, canary_share__gt=0),
                name="deployment_canary_has_share",
            ),
            models.CheckConstraint(condition=Q(canary_share__lt=1), name="deployment_canary_share_below_one"),
            models.CheckConstraint(
                condition=Q(canary__isnull=True) | ~Q(canary=models.F("policy")), name="deployment_canary_is_another"
            ),
        ]

    def __str__(self) -> str:
        return self.alias


class DeploymentChange(models.Model):
    """One turn of an alias; the history that a rollback walks back."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="changes")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decision = models.ForeignKey(Decision, null=True, blank=True, on_delete=models.PROTECT, related_name="changes")
    # start, promote, forced, rollback; canary (policy is the canary), recall (the canary is gone, nothing else moved)
    kind = models.CharField(max_length=10, default="promote")
    reason = models.CharField(max_length=500, blank=True, default="")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]


class Loop(models.Model):
    """The standing order: when to go round, by which recipe, at which gate."""

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, related_name="loops")
    base = models.CharField(max_length=100)
    alias = models.CharField(max_length=80, unique=True)
    config = models.JSONField(default=dict)  # validated by loops.LoopConfig
    prompt_filter = models.JSONField(default=dict, blank=True)  # {"metadata__workspace": "demo"}
    demo = models.BooleanField(default=False)
    status = models.CharField(max_length=8, choices=choices("loop"), default="active")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [status_check("loop")]

    def __str__(self) -> str:
        return self.slug


class Round(models.Model):
    """One turn of a loop. Each status is a step; what the step made stands in its column."""

    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, choices=choices("round"), default="collecting")
    explain = models.CharField(max_length=500, blank=True, default="")
    live = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey(RewardDataset, null=True, blank=True, on_delete=models.PROTECT, related_name="rounds")
    reward_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    sample_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    score_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    train_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    answer_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    live_answer_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    next_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    next_score_run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    yardstick_runs = models.ManyToManyField(Run, blank=True, related_name="+")  # answers for the yardstick
    best_of = models.ForeignKey(Policy, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decision = models.OneToOneField(Decision, null=True, blank=True, on_delete=models.PROTECT, related_name="round")
    facts = models.JSONField(default=dict, blank=True)  # counts worth telling, by step
    failed_step = models.CharField(max_length=12, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            status_check("round"),
            models.UniqueConstraint(fields=["loop", "number"], name="round_number_once"),
            models.UniqueConstraint(fields=["loop"], condition=~Q(status="closed"), name="one_open_round_a_loop"),
        ]

    def __str__(self) -> str:
        return f"{self.loop.slug} #{self.number}"


class RoundStep(models.Model):
    """When a round entered and left a step: the timetable of the loop's page."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=12)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["round", "name"], name="step_once_a_round")]


class Alarm(models.Model):
    """Something that a person should look at, with the figures it rests on and the samples behind it."""

    KINDS = ("overpaid", "length", "repetition", "production")
    SEVERITIES = ("warning", "serious")

    id = models.UUIDField(primary_key=True, default=uuid6.uuid7, editable=False)
    kind = models.CharField(max_length=12)
    severity = models.CharField(max_length=8)
    sentence = models.CharField(max_length=500)
    figures = models.JSONField(default=dict, blank=True)
    samples = models.JSONField(default=list, blank=True)  # keys of items or responses
    loop = models.ForeignKey(Loop, null=True, blank=True, on_delete=models.CASCADE, related_name="alarms")
    round = models.ForeignKey(Round, null=True, blank=True, on_delete=models.CASCADE, related_name="alarms")
    alias = models.CharField(max_length=80, blank=True, default="")
    status = models.CharField(max_length=6, choices=choices("alarm"), default="open")
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.CharField(max_length=500, blank=True, default="")  # what the person found
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            status_check("alarm"),
            models.CheckConstraint(
                condition=Q(kind__in=("overpaid", "length", "repetition", "production")),
                name="alarm_kind_known",
            ),
            models.CheckConstraint(condition=Q(severity__in=("warning", "serious")), name="alarm_severity_known"),
            models.UniqueConstraint(
                fields=["round", "kind"], condition=Q(round__isnull=False), name="alarm_kind_once_a_round"
            ),
        ]

    def __str__(self) -> str:
        return self.sentence


class Lesson(models.Model):
    """Teach it yourself: one person's short course. Its votes train that person's own head and nothing else."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="lessons")
    seed = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)


class LessonVote(models.Model):
    """One vote of a lesson. `answer` is about positions of the pair drawn, not sides."""

    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="votes")
    position = models.PositiveSmallIntegerField()
    left = models.ForeignKey("feedback.Response", on_delete=models.CASCADE, related_name="+")
    right = models.ForeignKey("feedback.Response", on_delete=models.CASCADE, related_name="+")
    picked = models.CharField(max_length=8)  # left, right, tie
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lesson", "position"], name="lesson_vote_once"),
            models.CheckConstraint(condition=Q(picked__in=("left", "right", "tie")), name="lesson_vote_known"),
        ]
