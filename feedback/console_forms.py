"""The console's forms: fields and words. What a value may be is the verbs' business and is not repeated here."""

from __future__ import annotations

from typing import Any

from django import forms

from .models import SELECTIONS, Membership, Queue

KIND_WORDS = {
    "comparison": "Comparison: which of two answers is better", "ranking": "Ranking: order several answers",
    "rating": "Rating: score one answer by a rubric", "thumbs": "Thumbs: is this answer good",
    "edit": "Edit: make the answer better",
}  # fmt: skip


class Words(forms.CharField):
    """A list of words, separated by commas."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, **options})

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return [word.strip() for word in (super().clean(value) or "").split(",") if word.strip()]


class QueueForm(forms.Form):
    """Everything that can be set on a queue, in four groups."""

    title = forms.CharField(max_length=200)
    kind = forms.ChoiceField(choices=list(KIND_WORDS.items()), help_text="Cannot change later.")
    guidelines = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 12}), required=False, strip=False,
        help_text="Markdown. A change is a new version; every judgment carries the version it was made under.",
    )  # fmt: skip
    rubric = forms.JSONField(required=False, help_text="JSON; for ratings, the attributes and their steps.")

    overlap = forms.IntegerField(min_value=1, max_value=50, initial=1, label="Answers an item")
    second_share = forms.FloatField(
        min_value=0, max_value=1, initial=0, label="Share of items with one answer more",
        help_text="0.15 asks a second person about 15% of the items; which, nobody can foresee.",
    )  # fmt: skip
    third_on_disagreement = forms.BooleanField(required=False, label="Ask a third where two differ")
    lease_seconds = forms.IntegerField(min_value=5, max_value=86_400, initial=600, label="Seconds to answer")
    skip_policy = forms.ChoiceField(
        choices=[("others", "goes to others"), ("mine", "comes back to them last"), ("never", "is not possible")],
        label="What somebody skips",
    )  # fmt: skip
    skip_reason_required = forms.BooleanField(required=False, label="A skip needs a reason")
    max_skips = forms.IntegerField(min_value=1, max_value=100, initial=3, label="Skips that make an item unusable")
    selection = forms.ChoiceField(choices=[(s, s) for s in SELECTIONS], label="Rule that chooses what to ask")
    control_rate = forms.FloatField(
        min_value=0, max_value=1, initial=0.25, label="Control share", help_text="Drawn at random, whatever the rule."
    )

    gold_rate = forms.FloatField(
        min_value=0, max_value=1, initial=0.03, label="Gold share", help_text="Items with known answers. 0: none."
    )
    gold_start_rate = forms.FloatField(min_value=0, max_value=1, initial=0.2, label="Gold share at first")
    gold_start_items = forms.IntegerField(min_value=0, max_value=1000, initial=50, label="... for so many items")
    qualify_of = forms.IntegerField(
        min_value=0, max_value=100, initial=0, label="Qualification: items",
        help_text="The first so many items are gold. 0: no qualification.",
    )  # fmt: skip
    qualify_right = forms.IntegerField(min_value=0, max_value=100, initial=0, label="... of which right")
    repeat_rate = forms.FloatField(
        min_value=0, max_value=0.2, initial=0.01, label="Repeats", help_text="Share of one's own items asked again."
    )
    repeat_after_days = forms.IntegerField(min_value=0, max_value=365, initial=7, label="... after so many days")

    languages = Words(help_text="Members know one of these. Empty: anybody.")
    skills = Words(help_text="Members have all of these.")
    flag_role = forms.ChoiceField(
        choices=[(r, r) for r in ("reviewer", "manager", "admin")], label="Who decides about flags of harm"
    )
    price_hour = forms.DecimalField(
        min_value=0, max_digits=8, decimal_places=2, required=False, label="Price of an hour",
        help_text="For people who have none of their own.",
    )  # fmt: skip

    GROUPS = (
        ("What is asked", ("title", "kind", "guidelines", "rubric")),
        ("How it is given out", ("overlap", "second_share", "third_on_disagreement", "lease_seconds", "skip_policy",
                                 "skip_reason_required", "max_skips", "selection", "control_rate")),
        ("How people are checked", ("gold_rate", "gold_start_rate", "gold_start_items", "qualify_of", "qualify_right",
                                    "repeat_rate", "repeat_after_days")),
        ("Who may label, and what an hour costs", ("languages", "skills", "flag_role", "price_hour")),
    )  # fmt: skip

    def __init__(self, *args: Any, queue: Queue | None = None, **options: Any) -> None:
        if queue is not None:
            options["initial"] = {name: getattr(queue, name) for name in self.base_fields if hasattr(queue, name)}
        super().__init__(*args, **options)
        if queue is not None:
            self.fields["kind"].disabled = True
        else:
            self.fields = {"slug": forms.SlugField(max_length=80, help_text="Its name in addresses. Cannot change."),
                           **self.fields}  # fmt: skip

    def groups(self) -> list[tuple[str, list[Any]]]:
        first = ["slug"] if "slug" in self.fields else []
        return [
            (words, [self[name] for name in [*(first if n == 0 else []), *names]])
            for n, (words, names) in enumerate(self.GROUPS)
        ]


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=[(r, r) for r in Membership.ROLES])
    kind = forms.ChoiceField(choices=[("human", "a person"), ("model", "a model judge")], required=False)


class JoinForm(forms.Form):
    username = forms.CharField(max_length=150, help_text="Letters, digits and @ . + - _")
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False)
    consent = forms.BooleanField(label="I have read this and agree", required=False)


class ResetForm(forms.Form):
    password = forms.CharField(
        label="New password", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), strip=False
    )
