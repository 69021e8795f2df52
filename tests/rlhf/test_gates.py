from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback import assigning, judging
from feedback.errors import Conflict, NotAllowed
from feedback.models import Assignment, Judgment, Prompt, Queue, User
from feedback.stats.sequential import Rule
from rlhf import deployments, gates
from rlhf.models import Decision
from tests.factories import make_item, make_policy, make_prompt, make_queue, make_response, make_user

pytestmark = pytest.mark.django_db
RULE = Rule(name="sprt", limit=60)


def open_gate(ann: User, count: int = 60, same: int = 0, demo: bool = False) -> Decision:
    """A vote between two policies over `count` prompts; on the first `same` of them the answers are equal."""
    label_queue = make_queue(members=(ann,), demo=demo)
    live, candidate = make_policy(), make_policy()
    prompts = [make_prompt(split="gate") for _ in range(count)]
    for n, prompt in enumerate(prompts):
        make_response(prompt, "the same" if n < same else f"old {n}", policy=live)
        make_response(prompt, "the same" if n < same else f"new {n}", policy=candidate)
    deployments.promote(policy=live, alias="production")
    return gates.open_decision(
        candidate=candidate, live=live, prompts=prompts, rule=RULE, label_queue=label_queue, seed=3
    )


def vote(queue: Queue, person: User, for_candidate: bool | None) -> None:
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    wanted = {True: 0, False: 1}.get(for_candidate) if for_candidate is not None else None
    choice = "tie" if wanted is None else "AB"[lease.order.index(wanted)]
    judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})


def test_enough_wins_promote_and_turn_the_alias() -> None:
    ann = make_user()
    decision = open_gate(ann)
    for _ in range(20):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    assert decision.status == "promoted"
    # ln((1-.1)/.05) / ln(.6/.5) = 15.9: the sixteenth win in a row decides
    assert decision.figures["n"] == 16
    assert deployments.live("production") == decision.candidate
    assert "Promoted: 16 of 16 votes" in gates.sentence(decision)


def test_losses_refuse_and_leave_the_alias_alone() -> None:
    ann = make_user()
    decision = open_gate(ann)
    for _ in range(12):
        vote(decision.queue, ann, False)
    gates.consume(decision=decision)
    # ln(.1/.95) / ln(.4/.5) = 10.1: the eleventh loss in a row decides
    assert (decision.status, decision.figures["n"]) == ("refused", 11)
    assert deployments.live("production") == decision.live


def test_votes_wait_for_the_items_drawn_before_them() -> None:
    ann, ben = make_user(), make_user()
    decision = open_gate(ann)
    decision.queue.memberships.create(user=ben)
    slow = assigning.claim(queue=decision.queue, annotator=ben)  # the first item, still being read
    assert slow is not None
    for _ in range(20):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    assert (decision.status, decision.figures["n"]) == ("voting", 0)


def test_equal_answers_count_half_without_asking_anybody() -> None:
    ann = make_user()
    decision = open_gate(ann, count=30, same=30)
    assert decision.queue.items.count() == 0
    gates.consume(decision=decision)
    assert decision.status == "refused" and decision.figures["halves"] == decision.figures["n"]


def test_a_skipped_item_counts_half_and_is_not_handed_on() -> None:
    ann = make_user()
    decision = open_gate(ann)
    lease = assigning.claim(queue=decision.queue, annotator=ann)
    assert lease is not None
    assigning.skip(assignment_id=lease.pk, annotator=ann)
    assert [v["why"] for v in gates.votes(decision)] == ["unusable"]


def test_simulated_people_have_no_vote_outside_a_demo() -> None:
    ann, sim = make_user(), make_user()
    label_queue = make_queue(members=(ann,))
    label_queue.memberships.create(user=sim, kind="simulated")
    live, candidate = make_policy(), make_policy()
    prompts = [make_prompt(split="gate") for _ in range(gates.MIN_PROMPTS)]
    for prompt in prompts:
        make_response(prompt, policy=live)
        make_response(prompt, policy=candidate)
    decision = gates.open_decision(candidate=candidate, live=live, prompts=prompts, rule=RULE, label_queue=label_queue)
    assert [m.user for m in decision.queue.memberships.all()] == [ann]


def test_the_second_of_two_deciding_workers_writes_nothing() -> None:
    ann = make_user()
    decision = open_gate(ann)
    for _ in range(20):
        vote(decision.queue, ann, True)
    twin = Decision.objects.get(pk=decision.pk)
    gates.consume(decision=decision)
    twin.status = "voting"  # as another worker still sees it
    gates.consume(decision=twin)
    assert twin.status == "promoted"
    assert decision.changes.count() == 1
    assert Prompt.objects.filter(gate_uses=1).count() == 16


def test_a_gate_prompt_retires_after_four_decisions() -> None:
    fresh, tired = make_prompt(split="gate"), make_prompt(split="gate")
    Prompt.objects.filter(pk=tired.pk).update(gate_uses=4)
    assert gates.fresh_prompts(Prompt.objects.all(), 10, 1) == [fresh]


def test_too_few_fresh_prompts_are_refused_before_anybody_votes() -> None:
    with pytest.raises(Conflict, match="needs 20"):
        open_gate(make_user(), count=5)


def test_gate_prompts_do_not_enter_label_queues() -> None:
    with pytest.raises(Conflict, match="decisions only"):
        make_item(make_queue(), prompt=make_prompt(split="gate"))


def test_an_override_needs_a_role_and_a_reason_and_says_so_for_ever() -> None:
    ann = make_user()
    decision = open_gate(ann)
    for _ in range(12):
        vote(decision.queue, ann, False)
    gates.consume(decision=decision)
    with pytest.raises(NotAllowed, match="engineers"):
        gates.override(decision=decision, actor=ann, reason="I like it")
    eve = make_user(role="engineer")
    with pytest.raises(NotAllowed, match="reason"):
        gates.override(decision=decision, actor=eve, reason=" ")
    gates.override(decision=decision, actor=eve, reason="The old one leaks names.")
    assert deployments.live("production") == decision.candidate
    assert "against the verdict" in gates.sentence(decision)
    assert Judgment.objects.count() == 12


def test_nobody_cuts_a_vote_short_by_an_override() -> None:
    decision = open_gate(make_user())
    with pytest.raises(Conflict, match="this one is voting"):
        gates.override(decision=decision, actor=make_user(role="engineer"), reason="no patience")
    assert deployments.live("production") == decision.live


def test_the_gate_queue_names_no_policy() -> None:
    decision = open_gate(make_user())
    words = f"{decision.queue.slug} {decision.queue.title} {decision.queue.guidelines}"
    assert decision.candidate.slug not in words and decision.live.slug not in words


def test_a_lease_that_ran_out_while_it_was_read_counts_half_and_a_late_answer_changes_nothing() -> None:
    """Handing the item on would let slow readers' losses be voted on again."""
    slow, quick = make_user(), make_user()
    decision = open_gate(slow)
    decision.queue.memberships.create(user=quick)
    lease = assigning.claim(queue=decision.queue, annotator=slow)
    assert lease is not None
    for _ in range(3):
        vote(decision.queue, quick, True)
    Assignment.objects.filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assigning.release_expired()
    gates.consume(decision=decision)
    assert [v["why"] for v in decision.figures["votes"]] == ["unusable", "candidate", "candidate", "candidate"]
    vote(decision.queue, quick, True)  # the next item, not the one that was given up
    judging.judge(assignment_id=lease.pk, annotator=slow, body={"choice": "A"})
    assert [v["x"] for v in gates.votes(decision)] == [0.5, 1, 1, 1, 1]


def test_an_item_fetched_ahead_that_nobody_saw_goes_to_the_next_person() -> None:
    ann, ben = make_user(), make_user()
    decision = open_gate(ann)
    decision.queue.memberships.create(user=ben)
    assigning.claim(queue=decision.queue, annotator=ann)
    ahead = assigning.claim(queue=decision.queue, annotator=ann, ahead=True)
    assert ahead is not None and ahead.shown_at is None
    Assignment.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assigning.release_expired()
    gates.consume(decision=decision)
    assert [v["why"] for v in gates.votes(decision)] == ["unusable"]
    second = assigning.claim(queue=decision.queue, annotator=ben)
    assert second is not None and second.item == ahead.item


def test_a_verdict_over_what_is_no_longer_live_turns_nothing_and_says_so() -> None:
    ann = make_user()
    decision = open_gate(ann)
    other = make_policy("hotfix")
    deployments.promote(policy=other, alias="production", force=True, reason="an outage")
    for _ in range(16):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    assert decision.status == "promoted" and deployments.live("production") == other
    assert "production was not turned: hotfix went live" in gates.sentence(decision)


def test_a_vote_can_be_stopped_with_a_reason_and_what_was_read_is_used_up() -> None:
    ann, eve = make_user(), make_user(role="engineer")
    decision = open_gate(ann)
    for _ in range(3):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    with pytest.raises(NotAllowed, match="Say why"):
        gates.abandon(decision=decision, actor=eve, reason="")
    gates.abandon(decision=decision, actor=eve, reason="The candidate leaks names.")
    assert (decision.status, decision.queue.status) == ("abandoned", "closed")
    assert Prompt.objects.filter(gate_uses=1).count() == 3
    assert gates.sentence(decision) == "Abandoned after 3 of 3 votes: The candidate leaks names."


def anchored(ann: User) -> Decision:
    """The fourth promotion of an alias is at stake."""
    alias, policies = "staging", [make_policy() for _ in range(4)]
    deployments.promote(policy=policies[0], alias=alias)
    for policy in policies[1:]:
        deployments.promote(policy=policy, alias=alias, force=True, reason="earlier rounds")
    candidate, prompts = make_policy(), [make_prompt(split="gate") for _ in range(40)]
    for n, prompt in enumerate(prompts):
        for policy in (policies[0], policies[3], candidate):
            make_response(prompt, f"{policy.slug} on {n}", policy=policy)
    anchor = gates.anchor_due(alias, candidate)
    assert anchor == policies[0]
    return gates.open_decision(
        candidate=candidate, live=policies[3], prompts=prompts, rule=Rule(limit=40),
        label_queue=make_queue(members=(ann,)), alias=alias, anchor=anchor,
    )  # fmt: skip


def test_every_fourth_promotion_asks_for_the_anchor() -> None:
    live, candidate = make_policy(), make_policy()
    deployments.promote(policy=live, alias="production")
    due = []
    for n in range(8):
        due.append(gates.anchor_due("production", candidate) is not None)
        deployments.promote(policy=make_policy(), alias="production", force=True, reason=f"round {n}")
    assert due == [False, False, False, True, False, False, False, True]


def test_the_anchors_ballot_opens_when_the_first_is_won_and_runs_from_the_other_end() -> None:
    ann = make_user()
    decision = anchored(ann)
    assert decision.anchor_queue is not None and decision.anchor_queue.status == "draft"
    assert [e["prompt"] for e in decision.anchor_entries] == [e["prompt"] for e in decision.entries][::-1]
    for _ in range(16):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    assert decision.status == "voting" and decision.anchor_queue.status == "open"
    assert "against the anchor not decided yet" in gates.sentence(decision)


@pytest.mark.parametrize(("wins", "status"), [(True, "promoted"), (False, "refused")])
def test_both_ballots_must_be_won(wins: bool, status: str) -> None:
    ann = make_user()
    decision = anchored(ann)
    for _ in range(16):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    assert decision.anchor_queue is not None
    for _ in range(16):
        vote(decision.anchor_queue, ann, wins)
    gates.consume(decision=decision)
    assert decision.status == status and decision.figures["decided"] == "promote"
    assert ("against the anchor" in gates.sentence(decision)) and decision.figures["anchor"]["n"] == (
        16 if wins else 11
    )
    assert (deployments.live("staging") == decision.candidate) is wins
    assert Prompt.objects.filter(gate_uses=1).count() == (32 if wins else 27), "each prompt is used up once"


def test_a_ballot_that_is_won_stays_won_while_the_anchor_is_voted_on() -> None:
    ann = make_user()
    decision = anchored(ann)
    for _ in range(16):
        vote(decision.queue, ann, True)
    gates.consume(decision=decision)
    judging.withdraw_rows(Judgment.objects.all(), reason="asked", actor=None)
    gates.consume(decision=decision)
    assert decision.figures["score"] == 16 and decision.status == "voting"


def test_a_decision_stores_what_it_rests_on() -> None:
    people = [make_user() for _ in range(3)]
    decision = open_gate(people[0])
    for person in people[1:]:
        decision.queue.memberships.create(user=person)
    for n in range(16):
        vote(decision.queue, people[n % 3], True)
    gates.consume(decision=decision)
    found = Decision.objects.get(pk=decision.pk)
    assert found.rule["name"] == "sprt" and len(found.entries) == 60
    assert all(v["judgment"] for v in found.figures["votes"])
    assert {row["name"] for row in found.figures["guardrails"]} >= {"finish", "repetition", "length"}
    assert found.figures["robustness"]["people"] == 3
    assert found.figures["rates"]["alpha"] == 0.05 and found.figures["rates"]["worse"] < 0.015
    assert found.figures["predicted"] is None and found.figures["apart"] is False
