"""From "is this policy better than what is live?" to an open ballot: any policy, whatever makes it different.

Weights, a system prompt, decoding settings, best-of-n or an outside model: all are policies, and all come through
here. Prompts are drawn first and stay drawn; missing answers are ordered as runs; the ballot opens when all are
there. An outside policy cannot be asked, so only prompts that it has answered are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import transaction

from feedback import events
from feedback.errors import Conflict, StaleTransition
from feedback.lifecycle import advance
from feedback.models import Policy, Prompt, Queue, Response, User
from feedback.stats.sequential import Rule

from . import ballots, deployments, gate_prompts, gates, guardrails, sampling
from .models import Decision, RewardModel, Run

Need = tuple[Policy, list[Prompt], range]


def propose(
    *,
    candidate: Policy,
    label_queue: Queue,
    alias: str = "production",
    rule: Rule | None = None,
    prompts: Sequence[Prompt] | None = None,
    prompt_filter: dict[str, Any] | None = None,
    margins: dict[str, Any] | None = None,
    alternatives: int = 1,
    reward_model: RewardModel | None = None,
    seed: int = 0,
    actor: User | None = None,
) -> Decision:
    """A decision over what is live under `alias`: at once open where all answers exist, else in preparation.

    `prompts` are drawn already, or as many as the rule's limit are drawn now from the fresh gate prompts that
    `prompt_filter` admits. Raises Conflict when nothing is live, prompts are too few, or this was asked before.
    """
    live = deployments.live(alias)
    if live is None:
        raise Conflict(f"Nothing is live under {alias}: the first policy is promoted without a vote.")
    if live.pk == candidate.pk:
        raise Conflict(f"{candidate.slug} is live under {alias} already.")
    rule = rule or Rule(limit=gate_prompts.PLANNED)
    anchor = gates.anchor_due(alias, candidate)
    guards = guardrails.parse_margins(margins or {})
    gates.require_untested(candidate, live, alias)
    if prompts is None:
        prompts = draw(rule, seed, prompt_filter, [p for p in (candidate, live, anchor) if p])
    gates.require_prompts(prompts)
    with transaction.atomic():
        decision = Decision.objects.create(
            alias=alias, candidate=candidate, live=live, queue=ballots.new_queue(label_queue, status="draft"),
            rule=vars(gates.shared(rule, alternatives)), seed=seed, alternatives=alternatives, anchor=anchor,
            reward_model=reward_model, status="preparing", entries=[{"prompt": p.key} for p in prompts],
            guardrails=[vars(guard) for guard in guards],
        )  # fmt: skip
        events.record("decision.proposed", decision, actor=actor, after={"candidate": candidate.slug, "alias": alias})
    return prepare(decision=decision, actor=actor)


def draw(rule: Rule, seed: int, prompt_filter: dict[str, Any] | None, policies: Sequence[Policy]) -> list[Prompt]:
    """Fresh gate prompts for one decision, as many as the rule can read."""
    found = gate_prompts.pool(prompt_filter)
    for policy in policies:
        if policy.kind == "external":
            found = found.filter(pk__in=Response.objects.filter(policy=policy, draw=0).values("prompt"))
    return gate_prompts.fresh_prompts(found, rule.limit or gate_prompts.PLANNED, seed)


def prepare(*, decision: Decision, actor: User | None = None) -> Decision:
    """Order what answers are missing, each once; open the ballot when all are there."""
    if decision.status != "preparing":
        return decision
    with transaction.atomic():
        held = Decision.objects.select_for_update(of=("self",)).filter(pk=decision.pk, status="preparing").first()
        if held is None:
            decision.refresh_from_db()
            return decision
        prompts = drawn(held)
        waits = [note for need in needs(held, prompts) if (note := _order(held, *need))]
        if waits:
            Decision.objects.filter(pk=held.pk).update(note=waits[0][:500])
        else:
            _open(held, [p for p in prompts if _answered(held, p)], actor)
    decision.refresh_from_db()
    return decision


def drawn(decision: Decision) -> list[Prompt]:
    found = {p.key: p for p in Prompt.objects.filter(key__in=[e["prompt"] for e in decision.entries])}
    return [found[entry["prompt"]] for entry in decision.entries]


def needs(decision: Decision, prompts: Sequence[Prompt]) -> Iterator[Need]:
    """Every policy's answers to the drawn prompts; five draws of both sides to the guarded ones."""
    for policy in (decision.candidate, decision.live, decision.anchor):
        if policy is not None:
            yield policy, list(prompts), range(1)
    guarded = gate_prompts.guarded(workspace(prompts))
    for policy in (decision.candidate, decision.live):
        yield policy, list(guarded), range(guardrails.DRAWS)


def workspace(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Guarded prompts are taken from where the drawn ones come from: a demo's guard nobody else's policies."""
    names = {p.metadata.get("workspace") for p in prompts}
    return {"metadata__workspace": names.pop()} if len(names) == 1 and names != {None} else {}


def _order(decision: Decision, policy: Policy, prompts: list[Prompt], draws: range) -> str:
    """What this need waits for; nothing when it is met, or when nothing more can be had."""
    if policy.kind != "local" or not sampling.missing_draws(policy, prompts, draws):
        return ""
    asked = [run for run in decision.runs.filter(kind="generate", policy=policy) if _covers(run, prompts, draws)]
    if not asked:
        run = sampling.sample(policy=policy, prompts=prompts, draws=draws, seed=decision.seed)
        assert run is not None
        decision.runs.add(run)
        return f"{policy.slug} answers the drawn prompts"
    last = max(asked, key=lambda run: run.created_at)
    if last.status in ("failed", "cancelled"):
        return f"the answers of {policy.slug}: run {last.status}; {last.note}"
    return "" if last.status == "done" else f"{policy.slug} answers the drawn prompts: {last.phase or last.status}"


def _covers(run: Run, prompts: list[Prompt], draws: range) -> bool:
    """Whether this run was asked for these draws (runs for drawn and for guarded prompts are apart)."""
    asked = run.inputs.get("prompts", {})
    return any(p.key in asked and set(asked[p.key]) <= set(draws) for p in prompts)


def _answered(decision: Decision, prompt: Prompt) -> bool:
    """A prompt too long for somebody's context has no answer: it leaves the draw, whoever it would have favoured."""
    sides = [p.pk for p in (decision.candidate, decision.live, decision.anchor) if p is not None]
    return Response.objects.filter(prompt=prompt, policy__in=sides, draw=0).values("policy").distinct().count() == len(
        sides
    )


def _open(decision: Decision, prompts: list[Prompt], actor: User | None) -> None:
    dropped = len(decision.entries) - len(prompts)
    if len(prompts) < gate_prompts.MIN_PROMPTS:
        reason = f"only {len(prompts)} of {len(decision.entries)} drawn prompts could be answered by all"
        advance(decision, "abandoned", note=reason)
        events.record("decision.abandoned", decision, after={"reason": reason})
        return
    guards = [guardrails.Guard(**row) for row in decision.guardrails]
    note = f"{dropped} drawn prompts were left out: not all could answer them." if dropped else ""
    advance(decision, "voting", note=note, **gates.declare(decision, prompts, guards))
    advance(decision.queue, "open")
    gates.opened(decision, actor)


def go_on() -> int:
    """Bring every decision that is under way a step further; returns how many there are."""
    waiting = Decision.objects.filter(status__in=("preparing", "voting"))
    waiting = waiting.select_related("candidate", "live", "anchor", "queue", "anchor_queue")
    for decision in waiting:
        try:
            prepare(decision=decision)
            gates.consume(decision=decision)
        except StaleTransition:  # another worker is on it
            continue
    return len(waiting)
