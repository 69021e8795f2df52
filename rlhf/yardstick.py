"""The yardstick: blind votes on dev prompts, each round's candidate against the loop's first policy.

A decision compares with what is live now; how far the loop has come in all is asked here. The items go into the
loop's own queue (arm `rule`): dev prompts train nothing and decide nothing, so they may be asked again and again.
Votes are read in the order in which the items were drawn and wait for open ones, as a decision's are.
"""

from __future__ import annotations

import random
from typing import Any

from feedback import aggregation, pairing
from feedback.errors import Conflict
from feedback.models import Item, Judgment, Policy, Prompt, Response

from . import sampling
from .models import DeploymentChange, Loop, Round, Run


def first_policy(loop: Loop) -> Policy | None:
    """What was live under the loop's alias when it began."""
    began = DeploymentChange.objects.filter(deployment__alias=loop.alias).order_by("pk").select_related("policy")
    start = loop.rounds.filter(live__isnull=False).order_by("number").select_related("live").first()
    change = began.first()
    return start.live if start else change.policy if change else None


def candidate_of(round_: Round) -> Policy | None:
    return round_.decision.candidate if round_.decision else None


def draw(round_: Round, size: int) -> list[Prompt]:
    """Dev prompts of the loop, the same ones for the same round."""
    mine = Prompt.objects.filter(split="dev", quarantined=False, **round_.loop.prompt_filter)
    prompts = list(mine.exclude(metadata__has_key="guard").order_by("key"))
    return random.Random(round_.pk).sample(prompts, min(size, len(prompts)))


def missing(round_: Round, size: int) -> tuple[str, Run | None]:
    """What the answers still wait for ("" when all are there), and a run that has to be started for it."""
    first, candidate = first_policy(round_.loop), candidate_of(round_)
    assert first is not None and candidate is not None
    prompts = draw(round_, size)
    for policy in (candidate, first):
        if policy.kind != "local" or not sampling.missing_draws(policy, prompts, [0]):
            continue
        ordered = round_.yardstick_runs.filter(policy=policy).order_by("-created_at").first()
        if ordered is None:
            return (
                f"{policy.slug} answers the yardstick's prompts",
                sampling.sample(policy=policy, prompts=prompts, draws=[0], seed=round_.number),
            )
        if ordered.status in ("failed", "cancelled"):
            raise Conflict(ordered.note or f"the yardstick's answers: the run was {ordered.status}")
        if ordered.status != "done":
            return f"{policy.slug} answers the yardstick's prompts: {ordered.phase or ordered.status}", None
    return "", None


def put(round_: Round, size: int) -> list[dict[str, Any]]:
    """The items, in drawn order: [{"prompt", "item"}], item None where both gave the same answer."""
    first, candidate = first_policy(round_.loop), candidate_of(round_)
    assert first is not None and candidate is not None
    prompts = draw(round_, size)
    texts = {
        policy.pk: {r.prompt_id: r for r in Response.objects.filter(policy=policy, prompt__in=prompts, draw=0)}
        for policy in (candidate, first)
    }
    pairs = [(p, texts[candidate.pk].get(p.pk), texts[first.pk].get(p.pk)) for p in prompts]
    both = [(p, a, b) for p, a, b in pairs if a is not None and b is not None]
    differ = [(p, a, b) for p, a, b in both if a.content.strip() != b.content.strip()]
    drafts = [pairing.Draft(p, [a, b], arm="rule", priority=1) for p, a, b in differ]
    items, _ = pairing.add_items(queue=round_.loop.queue, drafts=drafts)
    keys = {p.key: str(item.key) for (p, _, _), item in zip(differ, items, strict=True)}
    return [{"prompt": p.key, "item": keys.get(p.key)} for p, _, _ in both]


def votes(round_: Round) -> list[float]:
    """1 for the candidate, 0 for the first policy, 1/2 for ties and what nobody could judge; up to the first open."""
    drawn = round_.facts.get("yardstick", [])
    keys = [entry["item"] for entry in drawn if entry["item"]]
    items = {str(i.key): i for i in Item.objects.filter(key__in=keys)}
    standing = Judgment.objects.filter(aggregation.standing(), item__in=items.values()).order_by("pk")
    said = {j.item_id: j.answer["choice"] for j in standing}
    read: list[float] = []
    for entry in drawn:
        item = items.get(entry["item"] or "")
        if item is None or item.status == "unusable":
            read.append(0.5)
        elif item.pk in said:
            read.append({0: 1.0, 1: 0.0}.get(said[item.pk], 0.5))
        else:
            break
    return read
