"""From a candidate to an open ballot: prompts drawn first, missing answers ordered once."""

from __future__ import annotations

import pytest

from feedback.errors import Conflict
from feedback.models import Policy, Prompt
from feedback.stats.sequential import Rule
from rlhf import deployments, gates, proposals
from rlhf.models import Base, Decision, Run
from tests.factories import make_policy, make_prompt, make_queue, make_response, make_user

pytestmark = pytest.mark.django_db
RULE = Rule(limit=24)


def world(kind: str = "external", count: int = 30) -> tuple[Policy, Policy, list[Prompt]]:
    """A live policy and a candidate, with gate prompts nobody has answered."""
    extra = {"base": "tiny"} if kind == "local" else {}
    Base.objects.get_or_create(name="tiny", defaults={"digest": "0" * 64})
    live, candidate = make_policy(kind=kind, **extra), make_policy(kind=kind, **extra)
    deployments.promote(policy=live, alias="production")
    return live, candidate, [make_prompt(split="gate") for _ in range(count)]


def answer(policies: list[Policy], prompts: list[Prompt]) -> None:
    for prompt in prompts:
        for policy in policies:
            make_response(prompt, f"{policy.slug} says {prompt.key[:8]}", policy=policy)


def propose(candidate: Policy) -> Decision:
    return proposals.propose(candidate=candidate, label_queue=make_queue(members=(make_user(),)), rule=RULE, seed=4)


def test_where_all_answers_exist_the_ballot_is_open_at_once() -> None:
    live, candidate, prompts = world()
    answer([live, candidate], prompts)
    decision = propose(candidate)
    assert (decision.status, decision.queue.status) == ("voting", "open")
    assert len(decision.entries) == RULE.limit and decision.queue.items.count() == RULE.limit
    assert {row["name"] for row in decision.guardrails} == {"finish", "repetition", "refusal", "length"}


def test_an_outside_policy_is_asked_only_about_what_it_has_answered() -> None:
    live, candidate, prompts = world()
    answer([live], prompts)
    answer([candidate], prompts[:22])
    decision = propose(candidate)
    assert {entry["prompt"] for entry in decision.entries} == {p.key for p in prompts[:22]}


def test_missing_answers_are_ordered_once_a_policy_and_the_draw_stays() -> None:
    live, candidate, prompts = world("local")
    decision = propose(candidate)
    drawn = [e["prompt"] for e in decision.entries]
    assert decision.status == "preparing" and decision.queue.status == "draft"
    proposals.prepare(decision=decision)
    assert sorted(run.policy.slug for run in Run.objects.all() if run.policy) == sorted([live.slug, candidate.slug])
    answer([live, candidate], prompts)
    Run.objects.update(status="done", artifact="1" * 64)
    assert proposals.go_on() == 1
    decision.refresh_from_db()
    assert decision.status == "voting" and [e["prompt"] for e in decision.entries] == drawn


def test_a_prompt_that_could_not_be_answered_leaves_the_draw_and_is_counted() -> None:
    live, candidate, prompts = world("local")
    decision = propose(candidate)
    lost = decision.entries[3]["prompt"]
    answer([live], prompts)
    answer([candidate], [p for p in prompts if p.key != lost])
    Run.objects.update(status="done", artifact="1" * 64)
    proposals.prepare(decision=decision)
    assert decision.status == "voting" and lost not in {e["prompt"] for e in decision.entries}
    assert "1 drawn prompts were left out" in decision.note


def test_guarded_prompts_are_answered_five_times_by_both_and_never_voted_on() -> None:
    live, candidate, prompts = world("local")
    guard = make_prompt(split="gate", metadata={"guard": "must_pass", "expect": {"contains": "Paris"}})
    decision = propose(candidate)
    assert guard.key not in {e["prompt"] for e in decision.entries}
    asked = [run.inputs["prompts"][guard.key] for run in Run.objects.all() if guard.key in run.inputs["prompts"]]
    assert asked == [[0, 1, 2, 3, 4]] * 2


def test_the_same_question_is_not_put_twice() -> None:
    live, candidate, prompts = world()
    answer([live, candidate], prompts)
    propose(candidate)
    with pytest.raises(Conflict, match="already"):
        propose(candidate)


def test_alternatives_share_alpha() -> None:
    live, candidate, prompts = world()
    answer([live, candidate], prompts)
    decision = proposals.propose(
        candidate=candidate, label_queue=make_queue(members=(make_user(),)), rule=RULE, alternatives=2
    )
    assert decision.rule["alpha"] == 0.025 and gates.parse_rule(decision.rule).alpha == 0.025


def test_nothing_live_means_nothing_to_vote_on() -> None:
    with pytest.raises(Conflict, match="Nothing is live"):
        propose(make_policy())
