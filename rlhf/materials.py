"""The answers that a decision looks at: both sides' on the drawn prompts, and five draws on the guarded ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from feedback.models import Policy, Prompt, Response

from . import ballots, gate_prompts
from .guardrails import DRAWS, Material
from .models import Decision


def material_of(candidate: Policy, live: Policy, prompts: Sequence[Prompt], *, draw: int = 0) -> Material:
    """Conflict where a drawn prompt is not answered by both."""
    pairs = ballots.pairs(candidate, live, prompts, draw)
    return Material(candidate, live, pairs, guarded_answers(candidate, live))


def material_from_entries(decision: Decision) -> Material:
    """What `material_of` saw when the decision opened: answers never change."""
    entries = decision.entries
    keys = [e[side] for e in entries for side in ("candidate", "live")]
    response = {r.key: r for r in Response.objects.filter(key__in=keys)}
    prompt = {p.key: p for p in Prompt.objects.filter(key__in=[e["prompt"] for e in entries])}
    pairs = [(prompt[e["prompt"]], response[e["candidate"]], response[e["live"]]) for e in entries]
    return Material(decision.candidate, decision.live, pairs, guarded_answers(decision.candidate, decision.live))


def guarded_answers(candidate: Policy, live: Policy) -> dict[str, list[tuple[Prompt, list[Response], list[Response]]]]:
    """Safety and must-pass prompts that both sides have answered five times; others take no part."""
    prompts = list(gate_prompts.guarded())
    if not prompts:
        return {}
    new, old = (_draws(policy, prompts) for policy in (candidate, live))
    found: dict[str, list[tuple[Prompt, list[Response], list[Response]]]] = defaultdict(list)
    for prompt in prompts:
        if len(new[prompt.pk]) == len(old[prompt.pk]) == DRAWS:
            found[prompt.metadata["guard"]].append((prompt, new[prompt.pk], old[prompt.pk]))
    return dict(found)


def _draws(policy: Policy, prompts: Sequence[Prompt]) -> dict[int, list[Response]]:
    rows = Response.objects.filter(policy=policy, prompt__in=prompts, draw__lt=DRAWS).order_by("draw", "-key")
    by_draw: dict[int, dict[int, Response]] = defaultdict(dict)
    for row in rows:
        by_draw[row.prompt_id][row.draw] = row
    return defaultdict(list, {prompt: list(draws.values()) for prompt, draws in by_draw.items()})
