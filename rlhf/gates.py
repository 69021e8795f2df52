"""Deciding by votes: candidate against live on gate prompts, blind, one person's vote a prompt.

    open_decision   fix the rule, declare the guardrails with their power, open the ballot
                    (`proposals.propose` comes before it where answers are still to be made)
    consume         read the votes; when the rule decides, store the verdict and turn the alias
    override        a person promotes against the verdict, with a reason
    abandon         a person stops the vote

The rule, its alpha and the margins of the guardrails are fixed when the decision opens. A promotion needs the
votes, all blocking guardrails, and at every fourth promotion the votes against the anchor as well: since all must
pass, none of them needs a correction. Alternatives of one round share alpha. One candidate is tested once against
one live policy: asking again until it passes would be another way of looking too often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from feedback import events
from feedback.errors import BadInput, Conflict, NotAllowed, StaleTransition
from feedback.lifecycle import advance
from feedback.models import Judgment, Policy, Prompt, Queue, User
from feedback.stats.sequential import Rule, Sequential, decide

from . import ballots, deployments, escorts, guardrails, verdicts
from .ballots import Ballot, Vote
from .gate_prompts import MIN_PROMPTS, fresh_prompts, use_up
from .materials import material_from_entries, material_of
from .models import Decision, Deployment, RewardModel
from .robustness import robustness
from .verdicts import sentence

__all__ = [
    "MIN_PROMPTS", "abandon", "anchor_due", "consume", "fresh_prompts", "open_decision", "override", "parse_rule",
    "read_votes", "sentence", "votes",
]  # fmt: skip

ANCHOR_EVERY = 4  # promotions of an alias: drift by many small steps shows against the anchor only


def parse_rule(data: dict[str, Any]) -> Rule:
    """The stopping rule of a gate; BadInput names what is wrong."""
    try:
        return Rule(**data)
    except (TypeError, ValueError) as wrong:
        raise BadInput(f"gate: {wrong}", where="gate") from wrong


def anchor_due(alias: str, candidate: Policy) -> Policy | None:
    """The anchor (what the alias started with) when this would be its fourth, eighth, ... promotion."""
    deployment = Deployment.objects.filter(alias=alias).first()
    if deployment is None:
        return None
    turned = deployment.changes.filter(kind__in=("promote", "forced")).count()
    first = deployment.changes.filter(kind="start").order_by("pk").select_related("policy").first()
    due = (turned + 1) % ANCHOR_EVERY == 0 and first is not None
    if not due or first is None or first.policy_id in (candidate.pk, deployment.policy_id):
        return None
    return first.policy


def open_decision(
    *,
    candidate: Policy,
    live: Policy,
    prompts: Sequence[Prompt],
    rule: Rule,
    label_queue: Queue,
    alias: str = "production",
    seed: int = 0,
    draw: int = 0,
    alternatives: int = 1,
    anchor: Policy | None = None,
    margins: dict[str, Any] | None = None,
    reward_model: RewardModel | None = None,
    actor: User | None = None,
) -> Decision:
    """Declare rule and guardrails and open the ballot: items stand in the drawn order, voters as in `label_queue`.

    All policies must have answered every prompt (draw number `draw`). alternatives: candidates tested in the same
    round, which share the rule's alpha. Raises Conflict with too few prompts, or for a candidate tested before.
    """
    guards = guardrails.parse_margins(margins or {})
    require_prompts(prompts)
    require_untested(candidate, live, alias)
    with transaction.atomic():
        decision = Decision(
            alias=alias, candidate=candidate, live=live, queue=ballots.new_queue(label_queue, status="open"),
            rule=vars(shared(rule, alternatives)), seed=seed, alternatives=alternatives, anchor=anchor,
            reward_model=reward_model,
        )  # fmt: skip
        for name, value in declare(decision, prompts, guards, draw).items():
            setattr(decision, name, value)
        decision.save()
        opened(decision, actor)
    return decision


def declare(
    decision: Decision, prompts: Sequence[Prompt], guards: Sequence[guardrails.Guard], draw: int = 0
) -> dict[str, Any]:
    """Fill the ballots and fix the guardrails: the columns that say what the decision will rest on.

    Against the anchor the prompts run from the other end, so that few voters meet one twice.
    """
    material = material_of(decision.candidate, decision.live, prompts, draw=draw)
    fields: dict[str, Any] = {"entries": ballots.fill(decision.queue, list(material.pairs))}
    if decision.anchor:
        second = ballots.new_queue(decision.queue, status="draft")
        pairs = ballots.pairs(decision.candidate, decision.anchor, prompts, draw)
        fields |= {"anchor_queue": second, "anchor_entries": ballots.fill(second, pairs[::-1])}
    return {**fields, "guardrails": guardrails.plan(guards, material)}


def require_prompts(prompts: Sequence[Prompt]) -> None:
    if len(prompts) < MIN_PROMPTS:
        raise Conflict(f"Only {len(prompts)} fresh gate prompts are left; a decision needs {MIN_PROMPTS}.")


def require_untested(candidate: Policy, live: Policy, alias: str) -> None:
    """A second test of the same question would double its chances of passing by luck."""
    before = Decision.objects.filter(candidate=candidate, live=live, alias=alias)
    earlier = next((d for d in before if d.status != "abandoned" or d.figures.get("n")), None)
    if earlier is not None:
        raise Conflict(
            f"{candidate.slug} was put to the vote against {live.slug} already ({earlier.status}); voting again until "
            "it passes would break the error rate. Override that decision with a reason, or propose something new.",
            decision=str(earlier.pk),
        )


def shared(rule: Rule, alternatives: int) -> Rule:
    """The rule of each of several candidates of one round: alpha is divided among them (Bonferroni)."""
    if alternatives < 1:
        raise BadInput("alternatives: a whole number from 1.", where="alternatives")
    return replace(rule, alpha=rule.alpha / alternatives)


def opened(decision: Decision, actor: User | None) -> None:
    """Order what goes beside the votes, and write down what was fixed."""
    escorts.order_prediction(decision)
    escorts.order_distances(decision)
    events.record(
        "decision.opened", decision, actor=actor,
        after={
            "rule": decision.rule, "prompts": len(decision.entries), "queue": decision.queue.slug,
            "guardrails": {row["name"]: [row["margin"], row["power"]] for row in decision.guardrails},
            "anchor": decision.anchor.slug if decision.anchor else None, "alternatives": decision.alternatives,
        },
    )  # fmt: skip


def votes(decision: Decision) -> list[Vote]:
    """Votes against the live policy in drawn order, up to the first item still open."""
    return ballots.votes(ballots.main(decision))


def read_votes(decision: Decision) -> Sequential:
    """Where the test stands with the votes that may be read now."""
    return decide(parse_rule(decision.rule), [vote["x"] for vote in votes(decision)])


def consume(*, decision: Decision) -> Decision:
    """Read the votes; when the rule decides, store the verdict and, if it promotes, turn the alias.

    Of two workers deciding at once one writes; the other finds the row moved and leaves it.
    """
    if decision.status != "voting":
        return decision
    facts, promote = _read(decision)
    if promote is None:
        decision.figures = facts
        Decision.objects.filter(pk=decision.pk, status="voting").update(figures=facts)
        return decision
    facts |= _evidence(decision, facts)
    try:
        with transaction.atomic():
            _conclude(decision, facts, promote and not guardrails.blocked(facts["guardrails"]))
    except StaleTransition:
        decision.refresh_from_db()
    return decision


def _read(decision: Decision) -> tuple[dict[str, Any], bool | None]:
    """(figures, whether the votes promote): None while they have not decided. A ballot that is won stays won."""
    won = decision.figures.get("decided") == "promote"
    facts = {**decision.figures} if won else _read_ballot(decision, ballots.main(decision))
    if facts["decided"] != "promote":
        return facts, False if finished(facts) else None
    second = ballots.against_anchor(decision)
    if second is None:
        return facts, True
    if second.queue.status == "draft":  # its voters are asked only now: most candidates never get so far
        advance(second.queue, "open")
        ballots.close(decision.queue)
    facts["anchor"] = _read_ballot(decision, second)
    return facts, (facts["anchor"]["decided"] == "promote") if finished(facts["anchor"]) else None


def _read_ballot(decision: Decision, ballot: Ballot) -> dict[str, Any]:
    ballots.give_up(ballot)
    cast = ballots.votes(ballot)
    test = decide(parse_rule(decision.rule), [vote["x"] for vote in cast])
    return verdicts.figures(test, cast, len(ballot.entries))


def finished(facts: dict[str, Any]) -> bool:
    """The rule has decided, or there is no vote left to come."""
    return facts["decided"] is not None or facts["n"] >= facts["of"]


def _evidence(decision: Decision, facts: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the votes when they have decided."""
    rule = parse_rule(decision.rule)
    prediction = escorts.predicted(decision)
    return {
        "guardrails": guardrails.measure(decision.guardrails, material_from_entries(decision)),
        "robustness": robustness(rule, facts["votes"]),
        **verdicts.style_controlled(decision, facts["votes"]),
        "predicted": prediction,
        "apart": escorts.apart(prediction, facts["share"]),
        "kl": escorts.distances(decision),
        "median_length": escorts.lengths(decision.entries),
        "rates": verdicts.error_rates(rule, decision.alias),
    }


def _conclude(decision: Decision, facts: dict[str, Any], promote: bool) -> None:
    queues = [q for q in (decision.queue, decision.anchor_queue) if q is not None]
    simulated = Judgment.objects.filter(queue__in=queues, author_kind="simulated").exists()
    stale = _moved_on(decision) if promote else ""
    advance(
        decision, "promoted" if promote else "refused", figures=facts, decided_at=timezone.now(), simulated=simulated,
        note=stale,
    )  # fmt: skip
    use_up({vote["prompt"] for vote in [*facts["votes"], *facts.get("anchor", {}).get("votes", [])]})
    for queue in queues:
        ballots.close(queue)
    events.record("decision.made", decision, after={"status": decision.status, "votes": facts["n"]})
    if promote and not stale:
        deployments.promote(
            policy=decision.candidate, alias=decision.alias, decision=decision, reason=sentence(decision)
        )


def _moved_on(decision: Decision) -> str:
    """A vote against what is no longer live turns nothing: it says nothing about what is live now."""
    now = deployments.live(decision.alias)
    if now is None or now.pk == decision.live_id:
        return ""
    return f"{decision.alias} was not turned: {now.slug} went live while people voted against {decision.live.slug}."


def override(*, decision: Decision, actor: User, reason: str) -> Decision:
    """A person promotes a refused candidate; role and reason are stored beside the votes."""
    if not actor.is_engineer:
        raise NotAllowed("Only engineers and admins may override a decision.")
    if not reason.strip():
        raise NotAllowed("An override needs a reason; it is stored with your name.")
    if decision.status != "refused":
        raise Conflict(f"Only a refused candidate can be promoted against the votes; this one is {decision.status}.")
    with transaction.atomic():
        advance(decision, "promoted", override_by=actor, override_reason=reason[:500])
        events.record("decision.overridden", decision, actor=actor, after={"reason": reason[:500], "role": actor.role})
        deployments.promote(
            policy=decision.candidate,
            alias=decision.alias,
            actor=actor,
            decision=decision,
            force=True,
            reason=reason,
        )
    return decision


def abandon(*, decision: Decision, actor: User, reason: str) -> Decision:
    """Stop a vote. The prompts whose votes were read are used up: somebody may have seen where it stood."""
    if not actor.is_engineer:
        raise NotAllowed("Only engineers and admins may stop a vote.")
    if not reason.strip():
        raise NotAllowed("Say why the vote is stopped; it is stored with your name.")
    with transaction.atomic():
        facts = decision.figures
        advance(decision, "abandoned", note=reason[:500], decided_at=timezone.now())
        use_up({vote["prompt"] for vote in [*facts.get("votes", []), *facts.get("anchor", {}).get("votes", [])]})
        for queue in (decision.queue, decision.anchor_queue):
            if queue is not None:
                ballots.close(queue)
        events.record("decision.abandoned", decision, actor=actor, after={"reason": reason[:500]})
    return decision
