"""The shape of bodies and answers, for checking small bodies and for the OpenAPI document. No logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers as s

from feedback.models import SELECTIONS, SKIP_POLICIES, SPLITS, Interaction, Membership, Policy, Queue


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


EXACT: tuple[tuple[type, Callable[[Any], bool], str], ...] = (
    (s.BooleanField, lambda value: isinstance(value, bool), "true or false"),
    (s.IntegerField, lambda value: is_number(value) and value == int(value), "a whole number"),
    (s.FloatField, is_number, "a number"),
)


class Shape(s.Serializer[Any]):
    """Refuses fields it does not know, since a misspelt option must not be silently ignored, and values of another
    type: the framework would take "yes" for true and true for 1."""

    def to_internal_value(self, data: Any) -> Any:
        for name, value in data.items() if isinstance(data, dict) else ():
            if name not in self.fields:
                raise s.ValidationError({str(name): [f"unknown field; known are {', '.join(self.fields)}."]})
            for kind, fits, words in EXACT:
                if isinstance(self.fields[name], kind) and value is not None and not fits(value):
                    raise s.ValidationError({name: [f"expected {words}."]})
        return super().to_internal_value(data)


class Text(s.CharField):
    """Text as given: not trimmed, and nothing but a string."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Matching(Text):
    """Text that fits a pattern."""

    def __init__(self, pattern: str, **options: Any) -> None:
        super().__init__(**options)
        self.validators.append(RegexValidator(pattern, "This value does not match the required pattern."))


class Message(Shape):
    role = s.ChoiceField(choices=["system", "user", "assistant"])
    content = Text()


# --- content -------------------------------------------------------------------------------------------
class PromptIn(Shape):
    messages = Message(many=True)
    external_id = Text(required=False, max_length=200)
    group = Text(required=False)
    split = s.ChoiceField(choices=SPLITS, required=False)
    metadata = s.DictField(required=False)


class ResponseIn(Shape):
    prompt = Text(help_text="The prompt's id.")
    policy = Text(help_text="The policy's slug.")
    content = Text()
    draw = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    finish_reason = Text(required=False, max_length=16)
    prompt_tokens = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    completion_tokens = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)


class Gold(Shape):
    choice = s.CharField(required=False, help_text="By position in `responses`: A, B, tie or both_bad.")
    thumb = s.ChoiceField(choices=["up", "down"], required=False)
    ratings = s.DictField(child=s.IntegerField(), required=False)
    ranking = s.ListField(child=s.ListField(child=s.CharField()), required=False)
    attention = s.BooleanField(required=False, help_text="Nobody who reads gets this one wrong.")


class ItemIn(Shape):
    prompt = Text(help_text="The prompt's id.")
    responses = s.ListField(child=Text(), min_length=1, max_length=9)
    priority = s.IntegerField(min_value=-(2**31), max_value=2**31 - 1, required=False)
    gold = Gold(required=False)
    language = Text(required=False, max_length=20, help_text="Only who knows it is asked.")
    skill = Text(required=False, max_length=40, help_text="Only who has it is asked.")


class TakenIn(s.Serializer[Any]):
    """What came of a bulk call: ids in the order given."""

    created = s.IntegerField()
    existing = s.IntegerField()
    ids = s.ListField(child=s.CharField())


class PolicyIn(Shape):
    slug = Matching(r"^[-a-zA-Z0-9_]+$", max_length=80)
    kind = s.ChoiceField(choices=Policy.KINDS)
    base = Text(required=False, allow_blank=True, max_length=100)
    adapter = Matching(r"^([0-9a-f]{64})?$", required=False, allow_blank=True, help_text="An artifact's digest.")
    system_prompt = Text(required=False, allow_blank=True)
    decoding = s.DictField(required=False)


class PolicyOut(s.Serializer[Any]):
    slug = s.CharField()
    kind = s.CharField()
    base = s.CharField()
    adapter = s.CharField()
    system_prompt = s.CharField()
    decoding = s.DictField()
    parent = s.CharField(allow_null=True)  # type: ignore[assignment]
    created_at = s.DateTimeField()


# --- queues --------------------------------------------------------------------------------------------
class QueueChange(Shape):
    title = Text(required=False, max_length=200)
    kind = s.ChoiceField(choices=Queue.KINDS, required=False)
    guidelines = Text(required=False, allow_blank=True, max_length=200_000)
    rubric = s.JSONField(required=False, allow_null=True)
    overlap = s.IntegerField(min_value=1, max_value=50, required=False)
    lease_seconds = s.IntegerField(min_value=5, max_value=86_400, required=False)
    gold_rate = s.FloatField(min_value=0, max_value=1, required=False)
    second_share = s.FloatField(min_value=0, max_value=1, required=False)
    third_on_disagreement = s.BooleanField(required=False)
    skip_policy = s.ChoiceField(choices=SKIP_POLICIES, required=False)
    skip_reason_required = s.BooleanField(required=False)
    max_skips = s.IntegerField(min_value=1, max_value=100, required=False)
    gold_start_rate = s.FloatField(min_value=0, max_value=1, required=False)
    gold_start_items = s.IntegerField(min_value=0, max_value=1000, required=False)
    qualify_of = s.IntegerField(min_value=0, max_value=100, required=False)
    qualify_right = s.IntegerField(min_value=0, max_value=100, required=False)
    repeat_rate = s.FloatField(min_value=0, max_value=0.2, required=False)
    repeat_after_days = s.IntegerField(min_value=0, max_value=365, required=False)
    languages = s.ListField(child=Text(max_length=40), required=False)
    skills = s.ListField(child=Text(max_length=40), required=False)
    flag_role = s.ChoiceField(choices=["reviewer", "manager", "admin"], required=False)
    price_hour = s.FloatField(min_value=0, max_value=99_999, required=False, allow_null=True)
    selection = s.ChoiceField(SELECTIONS, required=False)
    control_rate = s.FloatField(min_value=0, max_value=1, required=False)
    content_level = s.ChoiceField(choices=Queue.CONTENT_LEVELS, required=False)
    status = s.ChoiceField(choices=["draft", "open", "paused", "closed", "archived"], required=False)


class QueueIn(QueueChange):
    slug = Matching(r"^[-a-zA-Z0-9_]+$", max_length=80)
    title = Text(max_length=200)


class QueueOut(s.Serializer[Any]):
    slug = s.CharField()
    title = s.CharField()
    kind = s.CharField()
    purpose = s.CharField()
    guidelines = s.CharField()
    guidelines_version = s.IntegerField()
    rubric = s.JSONField(allow_null=True)
    overlap = s.IntegerField()
    lease_seconds = s.IntegerField()
    second_share = s.FloatField()
    third_on_disagreement = s.BooleanField()
    skip_policy = s.CharField()
    skip_reason_required = s.BooleanField()
    max_skips = s.IntegerField()
    gold_rate = s.FloatField()
    gold_start_rate = s.FloatField()
    gold_start_items = s.IntegerField()
    qualify_of = s.IntegerField()
    qualify_right = s.IntegerField()
    repeat_rate = s.FloatField()
    repeat_after_days = s.IntegerField()
    languages = s.ListField(child=s.CharField())
    skills = s.ListField(child=s.CharField())
    flag_role = s.CharField()
    price_hour = s.DecimalField(max_digits=8, decimal_places=2, allow_null=True)
    selection = s.CharField()
    control_rate = s.FloatField()
    content_level = s.CharField()
    status = s.CharField()
    created_at = s.DateTimeField()


class MemberIn(Shape):
    username = Text(max_length=150)
    role = s.ChoiceField(choices=Membership.ROLES, required=False, default="annotator")
    kind = s.ChoiceField(
        choices=["human", "model"], required=False, default="human",
        help_text="A model judge takes nobody's seat; its agreement with people is measured.",
    )  # fmt: skip


class MemberChange(Shape):
    paused = s.BooleanField(required=False)
    reason = Text(required=False, max_length=2000, help_text="Of a pause; the person reads it.")
    withheld = s.BooleanField(required=False, help_text="Leave their judgments out of everything that learns.")


class MemberState(s.Serializer[Any]):
    username = s.CharField()
    role = s.CharField()
    kind = s.CharField()
    paused_at = s.DateTimeField(allow_null=True)
    paused_reason = s.CharField()
    appeal = s.CharField()


class GuidelinesOut(s.Serializer[Any]):
    number = s.IntegerField()
    text = s.CharField()
    rubric = s.JSONField(allow_null=True)
    created_at = s.DateTimeField()


class EventOut(s.Serializer[Any]):
    at = s.DateTimeField()
    actor = s.CharField(allow_null=True)
    verb = s.CharField()
    object_type = s.CharField()
    object_id = s.CharField()
    before = s.JSONField(allow_null=True)
    after = s.JSONField(allow_null=True)


class CostsOut(s.Serializer[Any]):
    """Amounts are null where an hour has no price, or there is nothing to divide by."""

    cost = s.FloatField(allow_null=True)
    judgments = s.IntegerField()
    per_judgment = s.FloatField(allow_null=True)
    usable_pairs = s.IntegerField()
    per_pair = s.FloatField(allow_null=True)
    promotions = s.IntegerField()
    per_promotion = s.FloatField(allow_null=True)
    elapsed_hours = s.FloatField()
    active_hours = s.FloatField()
    by_use = s.DictField()


class ReviewItem(s.Serializer[Any]):
    """All null where nothing is left to review."""

    judgment = s.UUIDField(allow_null=True)
    reason = s.CharField(allow_null=True)
    item = s.DictField(allow_null=True)
    answer = s.DictField(allow_null=True)


class ReviewIn(Shape):
    outcome = s.ChoiceField(choices=["accepted", "corrected", "rejected"])
    note = Text(required=False, allow_blank=True, max_length=5000)
    body = s.DictField(required=False, help_text="What is right instead, as the body of a judgment.")
    reason = s.ChoiceField(choices=["disputed", "sample", "flagged"], required=False)
    duration_ms = s.IntegerField(min_value=0, max_value=3_600_000, required=False)


class ReviewOut(s.Serializer[Any]):
    judgment = s.UUIDField()
    outcome = s.CharField()
    author = s.CharField()


class MemberOut(s.Serializer[Any]):
    username = s.CharField()
    role = s.ChoiceField(choices=Membership.ROLES)
    kind = s.ChoiceField(choices=Membership.KINDS)


class Stats(s.Serializer[Any]):
    queue = s.CharField()
    items = s.DictField(child=s.IntegerField())
    judgments = s.IntegerField()
    judgments_per_hour = s.FloatField(allow_null=True)
    agreement = s.JSONField()
    left_pick_rate = s.JSONField()
    gold_accuracy = s.JSONField()
    annotators = s.ListField(child=s.JSONField(), required=False)


# --- annotating ----------------------------------------------------------------------------------------
class ClaimIn(Shape):
    ahead = s.BooleanField(required=False, default=False)


class ShownResponse(s.Serializer[Any]):
    slot = s.CharField()
    content = s.CharField()


class ShownPrompt(s.Serializer[Any]):
    messages = Message(many=True)


class ShownItem(s.Serializer[Any]):
    id = s.UUIDField()
    kind = s.CharField()
    prompt = ShownPrompt()
    responses = ShownResponse(many=True)


class Lease(s.Serializer[Any]):
    assignment = s.UUIDField()
    expires_at = s.DateTimeField()
    item = ShownItem()


class JudgmentIn(s.Serializer[Any]):
    """What the queue's kind asks for: `choice`, `ranking`, `ratings`, `thumb` or `content`; all else is optional."""

    choice = s.ChoiceField(
        choices=["A", "B", "tie", "both_bad", "all_bad", "as_it_is"], required=False,
        help_text="comparison; all_bad of a ranking; as_it_is of an edit",
    )  # fmt: skip
    ranking = s.ListField(child=s.ListField(child=s.CharField()), required=False, help_text='[["B"], ["A", "C"]]')
    ratings = s.DictField(required=False, help_text="{attribute: points}, or {slot: {attribute: points}} for several")
    thumb = s.ChoiceField(choices=["up", "down"], required=False)
    content = s.CharField(required=False, help_text="edit: the better answer")
    spans = s.ListField(child=s.DictField(), required=False, help_text='[{"slot", "quote", "mark"}]')
    strength = s.IntegerField(min_value=1, max_value=3, required=False)
    rationale = s.CharField(required=False, allow_blank=True, max_length=10_000)
    flags = s.ListField(child=s.CharField(), required=False)
    duration_ms = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    ahead = s.BooleanField(required=False)


class JudgmentOut(s.Serializer[Any]):
    judgment = s.UUIDField()
    next = Lease(allow_null=True)


class SkipIn(Shape):
    reason = Text(required=False, allow_blank=True, max_length=300)
    ahead = s.BooleanField(required=False)


class SkipOut(s.Serializer[Any]):
    assignment = s.UUIDField()
    next = Lease(allow_null=True)


class HeartbeatOut(s.Serializer[Any]):
    assignment = s.UUIDField()
    expires_at = s.DateTimeField()


# --- learning ------------------------------------------------------------------------------------------
class DatasetIn(Shape):
    name = Text(max_length=120)
    queues = s.ListField(child=Text(), min_length=1, max_length=1000, help_text="Slugs.")
    recipe = s.DictField(required=False, default=dict, help_text="arms, min_votes, min_probability.")


class DatasetRow(s.Serializer[Any]):
    id = s.UUIDField()
    name = s.CharField()
    status = s.CharField()
    digest = s.CharField(allow_null=True)
    counts = s.DictField(child=s.IntegerField(), help_text="Rows by split.")
    created_at = s.DateTimeField()


class DatasetOut(DatasetRow):
    queues = s.ListField(child=s.CharField())
    recipe = s.DictField()
    rows = s.DictField(child=s.IntegerField(), help_text="Rows by file.")
    funnel = s.DictField(child=s.IntegerField(), help_text="What came in, and what was left out, by reason.")
    simulated = s.BooleanField()
    error = s.CharField(allow_null=True)
    files = s.ListField(child=s.CharField())
    manifest = s.DictField(allow_null=True)
    ready_at = s.DateTimeField(allow_null=True)


class LineageNode(s.Serializer[Any]):
    type = s.ChoiceField(choices=["judgment", "dataset", "run", "reward_model", "policy", "decision", "deployment"])
    id = s.CharField(help_text="uuid, slug or alias.")
    name = s.CharField()
    status = s.CharField(required=False)
    digest = s.CharField(required=False, allow_null=True)
    withdrawn = s.BooleanField(required=False)
    withdrawn_judgments = s.IntegerField(required=False)


class LineageMore(s.Serializer[Any]):
    type = s.CharField()
    id = s.CharField()
    judgments = s.IntegerField(help_text="Judgments of this node that are not listed.")


class LineageOut(s.Serializer[Any]):
    nodes = LineageNode(many=True)
    edges = s.ListField(child=s.ListField(child=s.CharField(), min_length=2, max_length=2), help_text="Ids: from, to.")
    more = LineageMore(many=True)


QUEUE = r"^[a-z0-9][a-z0-9-]{0,39}$"


class RunIn(Shape):
    kind = Text(
        max_length=10, help_text="reward, dpo, kto, sft, rloo, grpo; or external for a policy trained elsewhere."
    )
    dataset = Text(help_text="Its id, digest or name.")
    base = Text(max_length=100)
    reward_model = Text(
        required=False, default="", allow_blank=True, max_length=100, help_text="rloo, grpo: what rewards the answers."
    )
    config = s.DictField(required=False, default=dict, help_text="Presets by model and data size fill in the rest.")
    seed = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False, default=0)
    queue = Matching(QUEUE, required=False, default="train", help_text="Whose workers, or pullers, take it.")
    artifact = Text(
        required=False, default="", allow_blank=True, max_length=1000,
        help_text="external: a directory that may be read, a base's name, an artifact's digest, or a hub id.",
    )  # fmt: skip
    metrics = s.DictField(required=False, default=dict, help_text='external: {name: number or {"value","se","n"}}.')
    slug = Matching(
        r"^[-a-zA-Z0-9_]*$", required=False, default="", allow_blank=True, max_length=80,
        help_text="external: what the policy is to be called.",
    )  # fmt: skip


class PlanOut(s.Serializer[Any]):
    kind = s.CharField()
    config = s.DictField()
    reasons = s.DictField(help_text="Why each value that nobody named was chosen.")
    rows = s.DictField(allow_null=True, help_text="Rows, and how many would be dropped or cut.")
    estimate = s.DictField(allow_null=True, help_text="steps, tokens, seconds, memory_mb, and what that rests on.")
    note = s.CharField(allow_blank=True)


class EvaluationIn(Shape):
    policy = Text(max_length=80)
    evaluator = Text(max_length=120)
    figures = s.DictField(
        required=False, allow_null=True, default=None, help_text='Yours: {name: {"value", "se"?, "n"?}}.'
    )
    timeout_seconds = s.IntegerField(min_value=1, max_value=30 * 24 * 3600, required=False, default=24 * 3600)
    queue = Matching(QUEUE, required=False, default="train")


class EvaluationOut(s.Serializer[Any]):
    policy = s.CharField(allow_null=True)
    reward_model = s.CharField(allow_null=True)
    evaluator = s.CharField(help_text="Or the material that the figures are from.")
    figures = s.DictField()
    run = s.UUIDField(allow_null=True)
    created_at = s.DateTimeField()


class RunOut(s.Serializer[Any]):
    id = s.UUIDField()
    kind = s.CharField()
    status = s.CharField()
    note = s.CharField()
    dataset = s.CharField(allow_null=True)
    base = s.CharField()
    policy = s.CharField(allow_null=True)
    config = s.DictField()
    plan = s.DictField(help_text="Made before the start: reasons for the settings, rows counted, an estimate.")
    seed = s.IntegerField()
    queue = s.CharField()
    stands_on = s.DictField(help_text="Digests of what went in, by name.")
    step = s.IntegerField()
    total_steps = s.IntegerField()
    phase = s.CharField()
    attempt = s.IntegerField()
    cancel_requested = s.BooleanField()
    result = s.DictField()
    error = s.DictField(allow_null=True)
    artifact = s.CharField(allow_null=True)
    produced_policy = s.CharField(allow_null=True)
    reward_model = s.CharField(allow_null=True)
    created_at = s.DateTimeField()
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)


class Recipe(s.Serializer[Any]):
    run = s.UUIDField()
    kind = s.CharField()
    seed = s.IntegerField()
    config = s.DictField()
    dataset = s.CharField(allow_null=True)
    policy = s.CharField(allow_null=True)
    base = s.CharField(allow_null=True)
    inputs = s.DictField(help_text="Digests of what went in, by name.")
    versions = s.DictField(child=s.CharField())
    artifact = s.CharField(allow_null=True)
    commands = s.ListField(child=s.CharField())


class PullIn(Shape):
    queue = Matching(QUEUE, required=False, default="train")
    worker = Text(max_length=100, help_text="Who pulls: a host's name, say.")


class InputFile(s.Serializer[Any]):
    name = s.CharField()
    sha256 = s.CharField()
    bytes = s.IntegerField()


class PullOut(s.Serializer[Any]):
    run = s.UUIDField()
    attempt = s.IntegerField()
    spec = s.DictField(help_text="What spec.json holds.")
    files = InputFile(many=True)


class ReportIn(Shape):
    attempt = s.IntegerField(min_value=1, max_value=2**31 - 1)
    lines = s.ListField(required=False, default=list, max_length=1000, help_text="New lines of progress.jsonl.")
    samples = s.ListField(required=False, default=list, max_length=1000, help_text="New lines of samples.jsonl.")
    log = s.CharField(required=False, default="", allow_blank=True, trim_whitespace=False)


class ReportOut(s.Serializer[Any]):
    stop = s.BooleanField(help_text="Save and end: put the stop file.")


class ConcludeIn(Shape):
    attempt = s.IntegerField(min_value=1, max_value=2**31 - 1)
    code = s.IntegerField(min_value=-255, max_value=255, help_text="The engine's exit code.")
    outputs = s.DictField(child=s.CharField(), required=False, default=dict, help_text="name: sha256 of each file.")
    result = s.DictField(required=False, allow_null=True, default=None)
    error = s.DictField(required=False, allow_null=True, default=None)
    log = s.CharField(required=False, default="", allow_blank=True, trim_whitespace=False)
    moved_on = s.BooleanField(required=False, default=False)


class Metric(s.Serializer[Any]):
    step = s.IntegerField()
    name = s.CharField()
    value = s.FloatField()
    at = s.DateTimeField()


class Log(s.Serializer[Any]):
    log = s.CharField()


class RewardModelOut(s.Serializer[Any]):
    slug = s.CharField()
    base = s.CharField()
    artifact = s.CharField()
    figures = s.DictField()
    run = s.UUIDField()
    created_at = s.DateTimeField()


class ScoreItem(Shape):
    messages = Message(many=True, allow_empty=False)
    content = Text(allow_blank=True)


class ScoreIn(Shape):
    items = ScoreItem(many=True)


class OneScore(s.Serializer[Any]):
    mean = s.FloatField()
    sd = s.FloatField(help_text="Over the ensemble; 0 for a single model.")


class ScoresOut(s.Serializer[Any]):
    scores = OneScore(many=True)


class PromoteIn(Shape):
    alias = Matching(r"^[-a-zA-Z0-9_]+$", max_length=80, required=False, default="production")
    force = s.BooleanField(required=False, default=False)
    reason = Text(required=False, allow_blank=True, max_length=500, default="")


class RollbackIn(Shape):
    reason = Text(required=False, allow_blank=True, max_length=500, default="")


class ChangeOut(s.Serializer[Any]):
    alias = s.CharField()
    policy = s.CharField()
    previous = s.CharField(allow_null=True)
    decision = s.UUIDField(allow_null=True)
    kind = s.CharField()
    reason = s.CharField(allow_blank=True)
    at = s.DateTimeField()


class DecisionIn(Shape):
    candidate = Text(help_text="The policy that might go live.")
    queue = Text(help_text="The queue whose people vote and whose guidelines they read.")
    alias = s.RegexField(r"^[-a-zA-Z0-9_]+$", max_length=80, required=False, default="production")
    rule = s.DictField(required=False, default=dict, help_text="name: sprt, betting or mixture; alpha, p1, limit, ...")
    guardrails = s.DictField(required=False, default=dict, help_text="Margins by name; null leaves one out.")
    alternatives = s.IntegerField(
        required=False, default=1, min_value=1, max_value=100, help_text="Candidates of this round, which share alpha."
    )
    reward_model = Text(required=False, allow_null=True, default=None, help_text="Whose prediction stands beside.")
    prompt_filter = s.DictField(required=False, default=dict, help_text="Metadata that the gate prompts carry.")
    seed = s.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)


class ReasonIn(Shape):
    reason = Text(max_length=500)


class DecisionOut(s.Serializer[Any]):
    id = s.UUIDField()
    alias = s.CharField()
    candidate = s.CharField()
    live = s.CharField()
    anchor = s.CharField(allow_null=True)
    status = s.CharField(help_text="preparing, voting, promoted, refused or abandoned")
    sentence = s.CharField()
    rule = s.DictField()
    alternatives = s.IntegerField()
    guardrails = s.ListField(child=s.DictField(), help_text="As declared before the first vote, with their power.")
    figures = s.DictField()
    marks = s.ListField(child=s.DictField(), help_text="Votes taken back afterwards, with the figures without them.")
    note = s.CharField(allow_blank=True)
    queue = s.CharField()
    simulated = s.BooleanField()
    override_reason = s.CharField(allow_null=True)
    created_at = s.DateTimeField()
    decided_at = s.DateTimeField(allow_null=True)


class CanaryIn(Shape):
    policy = Text(required=False, default="", help_text="The policy that answers the share; empty recalls the canary.")
    share = s.FloatField(required=False, default=0.0, min_value=0, max_value=1, help_text="Of the keys.")
    reason = Text(required=False, allow_blank=True, default="", max_length=400)


class Interval(s.Serializer[Any]):
    value = s.FloatField()
    low = s.FloatField()
    high = s.FloatField()


class StyleTerm(Interval):
    name = s.CharField()


class BoardRow(s.Serializer[Any]):
    policy = s.CharField()
    best = s.IntegerField(help_text="The best rank that is possible; ranks are ranges.")
    worst = s.IntegerField()
    strength = s.FloatField()
    low = s.FloatField()
    high = s.FloatField()
    win_rate = s.FloatField(help_text="Against the average of the others.")
    votes = s.IntegerField()


class BoardOut(s.Serializer[Any]):
    kind = s.CharField()
    controlled = s.BooleanField(help_text="Whether style is taken out.")
    votes = s.IntegerField()
    rows = BoardRow(many=True)
    side = Interval(allow_null=True, help_text="What being shown on the left is worth, in log odds.")
    style_terms = StyleTerm(many=True)


class WorthOut(s.Serializer[Any]):
    simulated = s.BooleanField()
    points = s.ListField(child=s.DictField(), help_text="A round each: judgments spent by kind, people's win rate.")


class LoopIn(Shape):
    slug = Matching(r"^[-a-zA-Z0-9_]+$", max_length=80)
    title = Text(required=False, max_length=200, allow_blank=True, default="")
    queue = Text(help_text="The queue's slug.")
    policy = Text(help_text="The local policy to start from.")
    alias = Matching(r"^[-a-zA-Z0-9_]+$", max_length=80, required=False, default="production")
    config = s.DictField(required=False, default=dict)
    prompt_filter = s.DictField(required=False, default=dict, help_text="Metadata that its prompts carry.")


class RoundOut(s.Serializer[Any]):
    number = s.IntegerField()
    status = s.CharField()
    explain = s.CharField()
    dataset = s.CharField(allow_null=True)
    decision = s.UUIDField(allow_null=True)
    facts = s.DictField()
    created_at = s.DateTimeField()
    closed_at = s.DateTimeField(allow_null=True)


class LoopOut(s.Serializer[Any]):
    slug = s.CharField()
    title = s.CharField()
    queue = s.CharField()
    base = s.CharField()
    alias = s.CharField()
    status = s.CharField()
    config = s.DictField()
    demo = s.BooleanField()
    round = RoundOut(allow_null=True)
    waiting_for = s.CharField()
    created_at = s.DateTimeField()


class TickIn(Shape):
    force = s.BooleanField(required=False, default=False)


class Empty(Shape):
    """A call that needs no body."""


def page_of(shape: type[s.Serializer[Any]]) -> type[s.Serializer[Any]]:
    """The shape of one page of a list."""
    fields = {
        "next": s.URLField(allow_null=True),
        "previous": s.URLField(allow_null=True),
        "results": shape(many=True),
    }
    return type(f"{shape.__name__.removesuffix('Out')}Page", (s.Serializer,), fields)


# --- interactions --------------------------------------------------------------------------------------
class InteractionIn(Shape):
    messages = Message(many=True)
    content = Text(allow_blank=True, max_length=200_000)
    policy = Text(required=False, help_text="A policy's slug.")
    model = Text(required=False, max_length=200, help_text="Any name; an alias or slug of ours is recognised.")
    consent = s.ChoiceField(choices=Interaction.CONSENTS, required=False, help_text="monitor unless told.")
    session_id = Text(required=False, max_length=200)
    user_id = Text(required=False, max_length=200)
    tags = s.ListField(child=Text(max_length=100), required=False, max_length=50)
    scores = s.DictField(child=s.FloatField(), required=False)
    latency_ms = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    tokens = s.IntegerField(min_value=0, max_value=2**31 - 1, required=False)


class Logged(s.Serializer[Any]):
    created = s.IntegerField()
    ids = s.ListField(child=s.UUIDField())
    feedback = s.ListField(child=s.CharField(), help_text="A signed link for each answer's reader.")


class InteractionOut(s.Serializer[Any]):
    id = s.UUIDField()
    policy = s.CharField(allow_null=True)
    model = s.CharField()
    messages = Message(many=True)
    content = s.CharField()
    consent = s.CharField()
    session_id = s.CharField()
    user_id = s.CharField()
    tags = s.ListField(child=s.CharField())
    scores = s.DictField(child=s.FloatField())
    characters = s.IntegerField()
    tokens = s.IntegerField(allow_null=True)
    latency_ms = s.IntegerField(allow_null=True)
    thumb = s.CharField(allow_null=True)
    created_at = s.DateTimeField()


class ReactionIn(Shape):
    thumb = s.ChoiceField(choices=["up", "down"], required=False)
    correction = Text(required=False, allow_blank=True, max_length=200_000)
    comment = Text(required=False, allow_blank=True, max_length=200_000)


class ReactionOut(s.Serializer[Any]):
    id = s.UUIDField()
    interaction = s.UUIDField()
    thumb = s.CharField(allow_null=True)
    correction = s.CharField()
    comment = s.CharField()
    created_at = s.DateTimeField()


class Forgotten(s.Serializer[Any]):
    deleted = s.IntegerField()


# --- webhooks ------------------------------------------------------------------------------------------
class WebhookIn(Shape):
    url = Text(max_length=500)
    events = s.ListField(child=Text(), min_length=1, max_length=20)
    secret = Text(required=False, allow_blank=True, max_length=100)


class WebhookOut(s.Serializer[Any]):
    id = s.UUIDField()
    url = s.CharField()
    events = s.ListField(child=s.CharField())
    created_at = s.DateTimeField()


class WebhookMade(WebhookOut):
    secret = s.CharField(help_text="Shown once.")


class DeliveryOut(s.Serializer[Any]):
    id = s.UUIDField()
    event = s.CharField()
    object = s.DictField(child=s.CharField())
    status = s.CharField()
    attempts = s.IntegerField()
    answer_status = s.IntegerField(allow_null=True)
    error = s.CharField()
    next_at = s.DateTimeField(allow_null=True)
    created_at = s.DateTimeField()
    delivered_at = s.DateTimeField(allow_null=True)
