"""Deciding by votes: candidate against live on gate prompts, blind, one person's vote a prompt.

The rule is fixed when the decision opens. Votes are read in the order in which the prompts were drawn;
an open item stops the reading until it is judged, so that quick judgments cannot run ahead of slow ones.
Ties, "both bad" and items nobody can use count one half; so do prompts on which both answers are the
same text, without asking anybody.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from feedback import aggregation, events, pairing
from feedback.errors import BadInput, Conflict, NotAllowed, StaleTransition
from feedback.lifecycle import advance
from feedback.models import GATE_USES, Item, Judgment, Membership, Policy, Prompt, Queue, Response, User
from feedback.stats.sequential import Rule, Sequential, decide, log_statistic

from . import deployments
from .models import Decision

MIN_PROMPTS = 20
GUIDELINES = "Two answers to the same prompt. Choose the one you would rather receive; a tie is a fair answer."


def parse_rule(data: dict[str, Any]) -> Rule:
    """The stopping rule of a gate; BadInput names what is wrong."""
    try:
        return Rule(**data)
    except (TypeError, ValueError) as wrong:
        raise BadInput(f"gate: {wrong}", where="gate") from wrong


def fresh_prompts(prompts: Iterable[Prompt], count: int, seed: int) -> list[Prompt]:
    """Up to `count` gate prompts that have served fewer than four decisions, least used first, drawn at random."""
    usable = [p for p in prompts if p.split == "gate" and p.gate_uses < GATE_USES and not p.quarantined]
    usable.sort(key=lambda p: p.key)
    random.Random(seed).shuffle(usable)
    usable.sort(key=lambda p: p.gate_uses)  # stable: random among equally used ones
    chosen = usable[:count]
    random.Random(seed + 1).shuffle(chosen)
    return chosen


def open_decision(
    *,
    candidate: Policy,
    live: Policy,
    prompts: list[Prompt],
    rule: Rule,
    label_queue: Queue,
    alias: str = "production",
    seed: int = 0,
    draw: int = 0,
) -> Decision:
    """Draw up the ballot: an evaluation queue whose items stand in the drawn order, voters as in `label_queue`.

    Both policies must have answered every prompt (draw number `draw`). Raises Conflict with too few prompts.
    """
    if len(prompts) < MIN_PROMPTS:
        raise Conflict(f"Only {len(prompts)} fresh gate prompts are left; a decision needs {MIN_PROMPTS}.")
    pairs = _pairs(candidate, live, prompts, draw)
    with transaction.atomic():
        queue = _gate_queue(candidate, label_queue)
        entries = _ballot(queue, pairs)
        decision = Decision.objects.create(
            alias=alias,
            candidate=candidate,
            live=live,
            queue=queue,
            rule=vars(rule),
            entries=entries,
            seed=seed,
        )
        events.record(
            "decision.opened",
            decision,
            after={"rule": vars(rule), "prompts": len(prompts), "queue": queue.slug},
        )
    return decision


def _pairs(
    candidate: Policy, live: Policy, prompts: list[Prompt], draw: int
) -> list[tuple[Prompt, Response, Response]]:
    def first(policy: Policy) -> dict[int, Response]:
        rows = Response.objects.filter(policy=policy, prompt__in=prompts, draw=draw).order_by("-key")
        return {r.prompt_id: r for r in rows}

    new, old = first(candidate), first(live)
    lacking = [p for p in prompts if p.pk not in new or p.pk not in old]
    if lacking:
        raise Conflict(f"{len(lacking)} of {len(prompts)} gate prompts are not answered by both policies yet.")
    return [(p, new[p.pk], old[p.pk]) for p in prompts]


def _gate_queue(candidate: Policy, label_queue: Queue) -> Queue:
    """The slug must tell an annotator nothing, so it is a number and names no policy."""
    number = Queue.objects.filter(purpose="gate").count() + 1
    queue = Queue.objects.create(
        slug=f"vote-{number}", title=f"Blind vote {number}", purpose="gate", kind="comparison", overlap=1,
        guidelines=label_queue.guidelines or GUIDELINES, lease_seconds=label_queue.lease_seconds, status="open",
        demo=label_queue.demo,
    )  # fmt: skip
    kinds = ("human", "simulated") if label_queue.demo else ("human",)
    voters = label_queue.memberships.filter(kind__in=kinds)
    Membership.objects.bulk_create([Membership(queue=queue, user=m.user, role=m.role, kind=m.kind) for m in voters])
    return queue


def _ballot(queue: Queue, pairs: list[tuple[Prompt, Response, Response]]) -> list[dict[str, Any]]:
    """Entries in drawn order; prompts with the same answer twice get no item."""
    different = [(p, c, o) for p, c, o in pairs if c.content.strip() != o.content.strip()]
    drafts = [pairing.Draft(p, [c, o], arm="control") for p, c, o in different]
    items, _ = pairing.add_items(queue=queue, drafts=drafts)
    keys = {p.key: str(item.key) for (p, _, _), item in zip(different, items, strict=True)}
    return [{"prompt": p.key, "candidate": c.key, "live": o.key, "item": keys.get(p.key)} for p, c, o in pairs]


def votes(decision: Decision) -> list[dict[str, Any]]:
    """Votes in drawn order up to the first item still open: {"prompt", "x", "why", "judgment"}."""
    items = {str(i.key): i for i in Item.objects.filter(queue=decision.queue)}
    judged = _judgments(decision)
    read: list[dict[str, Any]] = []
    for entry in decision.entries:
        item = items.get(entry["item"] or "")
        if item is None:
            read.append({"prompt": entry["prompt"], "x": 0.5, "why": "same answer", "judgment": None})
        elif item.pk in judged:
            x, why = _value(judged[item.pk])
            read.append({"prompt": entry["prompt"], "x": x, "why": why, "judgment": str(judged[item.pk].pk)})
        elif item.status == "unusable":
            read.append({"prompt": entry["prompt"], "x": 0.5, "why": "unusable", "judgment": None})
        else:
            break
    return read


def _judgments(decision: Decision) -> dict[int, Judgment]:
    rows = Judgment.objects.filter(aggregation.standing(), queue=decision.queue).order_by("pk")
    return {j.item_id: j for j in rows}


def _value(judgment: Judgment) -> tuple[float, str]:
    """The candidate's answer stands at position 0 of the item; the side it was shown on was random."""
    choice = judgment.answer["choice"]
    if choice in ("tie", "both_bad"):
        return 0.5, choice
    return (1.0, "candidate") if choice == 0 else (0.0, "live")


def read_votes(decision: Decision) -> Sequential:
    """Where the test stands with the votes that may be read now."""
    return decide(parse_rule(decision.rule), [vote["x"] for vote in votes(decision)])


def consume(*, decision: Decision) -> Decision:
    """Read the votes; when the rule decides, store the verdict and, if it promotes, turn the alias.

    Of two workers deciding at once one writes; the other finds the row moved and leaves it.
    """
    if decision.status != "voting":
        return decision
    cast = votes(decision)
    test = decide(parse_rule(decision.rule), [vote["x"] for vote in cast])
    if test.decided is None and len(cast) < len(decision.entries):
        decision.figures = figures(decision, test, cast)
        Decision.objects.filter(pk=decision.pk, status="voting").update(figures=decision.figures)
        return decision
    try:
        with transaction.atomic():
            _conclude(decision, test, cast[: test.n])
    except StaleTransition:
        decision.refresh_from_db()
    return decision


def _conclude(decision: Decision, test: Sequential, cast: list[dict[str, Any]]) -> None:
    promoted = test.decided == "promote"
    facts = figures(decision, test, cast)
    simulated = Judgment.objects.filter(queue=decision.queue, author_kind="simulated").exists()
    advance(
        decision,
        "promoted" if promoted else "refused",
        figures=facts,
        decided_at=timezone.now(),
        simulated=simulated,
    )
    Prompt.objects.filter(key__in=[vote["prompt"] for vote in cast]).update(gate_uses=F("gate_uses") + 1)
    if decision.queue.status == "open":
        advance(decision.queue, "closed")
    events.record("decision.made", decision, after={"status": decision.status, "votes": test.n})
    if promoted:
        deployments.promote(
            policy=decision.candidate, alias=decision.alias, decision=decision, reason=sentence(decision)
        )


def figures(decision: Decision, test: Sequential, cast: list[dict[str, Any]]) -> dict[str, Any]:
    """Every figure the verdict rests on, rounded for keeping."""
    used = cast[: test.n]
    rule = parse_rule(decision.rule)
    xs = [vote["x"] for vote in used]
    path: Any = log_statistic(rule, np.asarray(xs, dtype=float)) if xs else []
    return {
        "votes": used,
        "n": test.n,
        "score": test.score,
        "share": round(test.share, 4) if test.n else None,
        "low": round(test.low, 4),
        "high": round(test.high, 4),
        "statistic": round(test.statistic, 4),
        "path": [round(float(x), 4) for x in path],
        "upper": round(rule.upper, 4),
        "lower": round(rule.lower, 4) if rule.lower > float("-inf") else None,
        "decided": test.decided,
        "used_up": test.used_up,
        "expected_more": test.expected_more_votes(p=rule.p1) if test.decided is None else 0,
        "wins": sum(x == 1 for x in xs),
        "losses": sum(x == 0 for x in xs),
        "halves": sum(x == 0.5 for x in xs),
        "of": len(decision.entries),
    }


def sentence(decision: Decision) -> str:
    """The verdict in one sentence a person can read out."""
    f = decision.figures
    if not f:
        return "No vote has been read yet."
    so_far = f"{f['score']:g} of {f['n']} votes"
    interval = f"[{f['low']:.2f}, {f['high']:.2f}]"
    if decision.status == "voting":
        more = f.get("expected_more")
        wait = (
            f"about {more} more would settle it if it truly wins {decision.rule['p1']:.0%}"
            if more
            else "voting goes on"
        )
        return f"Not decided: {so_far} for the candidate, {interval}; {wait}."
    if decision.override_reason:
        return f"Promoted by a person against the votes ({so_far}, {interval}): {decision.override_reason}"
    if decision.status == "promoted":
        return f"Promoted: {so_far} for the candidate, {interval}."
    if decision.status == "abandoned":
        return f"Abandoned after {so_far}."
    why = (
        "the votes ran out before the evidence did"
        if f.get("used_up") or not f.get("decided")
        else "not the gain it had to show"
    )
    return f"Not promoted: {so_far} for the candidate, {interval}; {why}."


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
        events.record("decision.overridden", decision, actor=actor, after={"reason": reason[:500]})
        deployments.promote(
            policy=decision.candidate,
            alias=decision.alias,
            actor=actor,
            decision=decision,
            force=True,
            reason=reason,
        )
    return decision
