"""Gate prompts: drawn fresh, retired after four decisions, quarantined with a reason, counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.errors import BadInput, Conflict
from feedback.models import Event, Prompt
from rlhf import gate_prompts, gates
from tests.factories import make_prompt, make_user
from tests.factories_rlhf import make_ballot, make_decision, vote

pytestmark = pytest.mark.django_db


def test_prompts_used_least_are_drawn_first() -> None:
    used, fresh = make_prompt(split="gate"), make_prompt(split="gate")
    Prompt.objects.filter(pk=used.pk).update(gate_uses=3)
    assert gate_prompts.fresh_prompts(Prompt.objects.all(), 1, 5) == [fresh]


def test_train_dev_quarantined_and_guarded_prompts_are_never_drawn() -> None:
    make_prompt(), make_prompt(split="dev"), make_prompt(split="gate", metadata={"guard": "safety"})
    gate_prompts.quarantine(prompts=[make_prompt(split="gate")], reason="was on a slide")
    assert list(gate_prompts.pool()) == [] and gate_prompts.fresh_prompts(Prompt.objects.all(), 9, 1) == []


def test_only_prompts_whose_votes_were_read_are_used_up() -> None:
    ann = make_user()
    decision = make_ballot(ann, prompts=40)
    for _ in range(11):
        vote(decision.queue, ann, 1)
    gates.consume(decision=decision)
    assert Prompt.objects.filter(gate_uses=1).count() == 11
    assert gate_prompts.budget().by_uses == (29, 11, 0, 0)


def test_a_quarantine_needs_a_reason_counts_once_and_leaves_the_split() -> None:
    prompt = make_prompt()
    with pytest.raises(BadInput, match="reason"):
        gate_prompts.quarantine(prompts=[prompt], reason=" ")
    assert gate_prompts.quarantine(prompts=[prompt], reason="a twin is held out") == 1
    assert gate_prompts.quarantine(prompts=[prompt], reason="again") == 0
    prompt.refresh_from_db()
    assert prompt.quarantined and prompt.split == "train"
    assert Event.objects.get(verb="prompt.quarantined").after == {"reason": "a twin is held out"}


def test_only_gate_prompts_retire() -> None:
    gate = make_prompt(split="gate")
    assert gate_prompts.retire(prompts=[gate], reason="it leaked") == 1
    assert list(gate_prompts.pool()) == []
    with pytest.raises(Conflict, match="train prompt"):
        gate_prompts.retire(prompts=[make_prompt()], reason="it leaked")


def test_the_budget_tells_how_many_decisions_are_left() -> None:
    """30 fresh prompts have 120 uses; a decision that used 11 leaves 109, enough for nine more of its kind."""
    ann = make_user()
    decision = make_ballot(ann, prompts=30)
    for _ in range(11):
        vote(decision.queue, ann, 1)
    gates.consume(decision=decision)
    found = gate_prompts.budget()
    assert (found.uses, found.per_decision, found.decisions, found.low) == (109, 11.0, 9, False)
    assert found.a_year is None, "one decision tells no pace"


def test_before_the_first_decision_the_budget_plans_with_what_a_rule_draws() -> None:
    for _ in range(25):
        make_prompt(split="gate")
    found = gate_prompts.budget(planned=50)
    assert (found.fresh, found.decisions, found.low) == (25, 2, True)


def test_too_few_prompts_for_one_decision_are_none() -> None:
    for _ in range(gate_prompts.MIN_PROMPTS - 1):
        make_prompt(split="gate")
    assert gate_prompts.budget(planned=10).decisions == 0


def test_the_pace_is_told_after_two_weeks_and_three_decisions() -> None:
    decisions = [make_decision(alias="production") for _ in range(3)]
    assert gate_prompts.a_year() is None
    for n, decision in enumerate(decisions):
        long_ago = timezone.now() - timedelta(days=73 - n)
        type(decision).objects.filter(pk=decision.pk).update(created_at=long_ago)
    assert gate_prompts.a_year("production") == pytest.approx(15, abs=0.01)  # 3 in 73 days, 365/73 = 5
    assert gate_prompts.a_year("staging") is None
