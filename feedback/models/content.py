"""What there is to judge: prompts, who answers them, and the answers."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q

SPLITS = ("train", "dev", "gate")
ROLES = ("annotator", "reviewer", "engineer", "admin")
GATE_USES = 4  # a gate prompt retires after as many decisions (SCIENCE: reuse inflates false promotions)


class User(AbstractUser):
    """A person. The role says what they may do everywhere; a Membership adds what they may do in a queue."""

    role = models.CharField(max_length=16, choices=[(r, r) for r in ROLES], default="annotator")
    languages = models.JSONField(default=list, blank=True)
    skills = models.JSONField(default=list, blank=True)
    price_hour = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    consent_version = models.CharField(max_length=20, blank=True, default="")
    consent_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta(AbstractUser.Meta):
        constraints = [models.CheckConstraint(condition=Q(role__in=ROLES), name="user_role_known")]

    @property
    def is_engineer(self) -> bool:
        return self.role in ("engineer", "admin")

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


class Prompt(models.Model):
    """A conversation that ends with a user turn. `key` (sha256 of its canonical messages) is its public id."""

    key = models.CharField(max_length=64, unique=True)
    messages = models.JSONField()
    group = models.CharField(max_length=64, db_index=True)
    split = models.CharField(max_length=8)
    external_id = models.CharField(max_length=200, blank=True, default="")
    metadata = models.JSONField(default=dict, blank=True)
    cluster = models.CharField(max_length=64, blank=True, default="")  # smallest group tied to its own; "": unknown
    quarantined = models.BooleanField(default=False)  # a train prompt nearly the same as a held-out one
    gate_uses = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(split__in=SPLITS), name="prompt_split_known")]
        indexes = [models.Index(fields=["split", "gate_uses"], name="prompt_split")]

    def __str__(self) -> str:
        return self.key[:12]

    @property
    def last_turn(self) -> str:
        return self.messages[-1]["content"]


class Policy(models.Model):
    """Whoever wrote a response: weights, system prompt and decoding, immutable once created."""

    KINDS = ("local", "external")

    slug = models.SlugField(max_length=80, unique=True)
    kind = models.CharField(max_length=10)
    base = models.CharField(max_length=100, blank=True, default="")
    adapter = models.CharField(max_length=64, blank=True, default="")  # artifact digest of an adapter chain
    head = models.CharField(max_length=64, blank=True, default="")  # artifact digest; best-of-n chooses by it
    system_prompt = models.TextField(blank=True, default="")
    decoding = models.JSONField(default=dict, blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    note = models.CharField(max_length=300, blank=True, default="")
    archived_at = models.DateTimeField(null=True, blank=True)  # out of sight, never out of lineage
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "policies"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=("local", "external")), name="policy_kind_known"),
            models.CheckConstraint(condition=Q(kind="external") | ~Q(base=""), name="policy_local_has_base"),
        ]

    def __str__(self) -> str:
        return self.slug


class Response(models.Model):
    """What a policy answered to a prompt. `key` is the public id: prompt, policy, draw, text."""

    key = models.CharField(max_length=64, unique=True)
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="responses")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="responses")
    draw = models.PositiveIntegerField(default=0)
    content = models.TextField()
    finish_reason = models.CharField(max_length=16, blank=True, default="")
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )  # who wrote an edited answer; never exposed
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["policy", "prompt", "draw"], name="response_draw")]

    def __str__(self) -> str:
        return self.key[:12]


class Sketch(models.Model):
    """The MinHash signature of a normalised first user turn, kept so that each is computed once."""

    turn = models.CharField(max_length=64, unique=True)  # sha256 of the turn
    group = models.CharField(max_length=64)
    numbers = models.CharField(max_length=64, blank=True, default="")
    signature = models.BinaryField()
