"""The scarcest thing of all: prompts that nobody has learnt from or looked at. Drawing, quarantine, retirement, budget.

A gate prompt serves at most four decisions and then retires: after twenty uses of the same prompts, false
promotions reach 10-15%. Prompts with `metadata.guard` (safety, must_pass) serve the guardrails and are never voted on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from feedback import events
from feedback.errors import BadInput, Conflict
from feedback.models import GATE_USES, Prompt, User

from .models import Decision

GUARDS = ("safety", "must_pass")
MIN_PROMPTS = 20  # below that no rule can promote what is worth promoting
PLANNED = 200  # prompts drawn where the rule names no limit


def pool(prompt_filter: dict[str, Any] | None = None) -> QuerySet[Prompt]:
    """Gate prompts that people may still be asked about."""
    mine = Prompt.objects.filter(split="gate", quarantined=False, gate_uses__lt=GATE_USES, **(prompt_filter or {}))
    return mine.exclude(metadata__has_key="guard")


def guarded(prompt_filter: dict[str, Any] | None = None) -> QuerySet[Prompt]:
    """The safety and must-pass prompts. They are asked again and again: none is chosen for what it answered."""
    mine = Prompt.objects.filter(split="gate", quarantined=False, metadata__guard__in=GUARDS, **(prompt_filter or {}))
    return mine.order_by("key")


def fresh_prompts(prompts: Iterable[Prompt], count: int, seed: int) -> list[Prompt]:
    """Up to `count` gate prompts that have served fewer than four decisions, least used first, drawn at random."""
    usable = [p for p in prompts if _votable(p)]
    usable.sort(key=lambda p: p.key)
    random.Random(seed).shuffle(usable)
    usable.sort(key=lambda p: p.gate_uses)  # stable: random among equally used ones
    chosen = usable[:count]
    random.Random(seed + 1).shuffle(chosen)
    return chosen


def _votable(prompt: Prompt) -> bool:
    fresh = prompt.split == "gate" and prompt.gate_uses < GATE_USES and not prompt.quarantined
    return fresh and "guard" not in prompt.metadata


def use_up(keys: Iterable[str]) -> None:
    """One more decision has read these prompts."""
    Prompt.objects.filter(key__in=list(keys), gate_uses__lt=GATE_USES).update(gate_uses=F("gate_uses") + 1)


@transaction.atomic
def quarantine(*, prompts: Iterable[Prompt], reason: str, actor: User | None = None) -> int:
    """Take prompts out of use for ever, each with the reason; returns how many were not out already.

    A train prompt leaves training (a held-out one turned out to say the same), a held-out one leaves evaluation
    (somebody trained on it). The split itself never changes.
    """
    if not reason.strip():
        raise BadInput("reason: say why; it is stored with the prompt.", where="reason")
    moved = 0
    for prompt in prompts:
        if Prompt.objects.filter(pk=prompt.pk, quarantined=False).update(quarantined=True):
            prompt.quarantined = True
            events.record("prompt.quarantined", prompt, actor=actor, after={"reason": reason[:300]})
            moved += 1
    return moved


@transaction.atomic
def retire(*, prompts: Iterable[Prompt], reason: str, actor: User | None = None) -> int:
    """Retire gate prompts before their four decisions (they leaked, they are stale); returns how many retired."""
    if not reason.strip():
        raise BadInput("reason: say why; it is stored with the prompt.", where="reason")
    moved = 0
    for prompt in prompts:
        if prompt.split != "gate":
            raise Conflict(f"{prompt.key[:12]} is a {prompt.split} prompt; only gate prompts retire.")
        if Prompt.objects.filter(pk=prompt.pk, gate_uses__lt=GATE_USES).update(gate_uses=GATE_USES):
            prompt.gate_uses = GATE_USES
            events.record("prompt.retired", prompt, actor=actor, after={"reason": reason[:300]})
            moved += 1
    return moved


@dataclass(frozen=True)
class Budget:
    """How long the gate prompts last. `by_uses[k]` prompts have served k decisions; uses: what all have left together.

    per_decision: prompts that a decision used up, on average (planned, before the first one); decisions: how many
    more there is enough for; a_year: decisions a year at the pace so far; more_needed: when fewer prompts than one
    decision draws are left, None where the pace is not known.
    """

    fresh: int
    by_uses: tuple[int, ...]
    retired: int
    quarantined: int
    uses: int
    per_decision: float
    decisions: int
    a_year: float | None
    more_needed: Any

    @property
    def low(self) -> bool:
        """Fewer than three decisions are left: time to write prompts."""
        return self.decisions < 3


def budget(*, prompt_filter: dict[str, Any] | None = None, planned: int = PLANNED) -> Budget:
    """What is left of the gate prompts, and until when at the pace of the last year."""
    mine = Prompt.objects.filter(split="gate", **(prompt_filter or {})).exclude(metadata__has_key="guard")
    uses = list(mine.filter(quarantined=False).values_list("gate_uses", flat=True))
    by_uses = tuple(sum(u == k for u in uses) for k in range(GATE_USES))
    left = sum((GATE_USES - k) * count for k, count in enumerate(by_uses))
    used = _used_by_decisions(set(mine.values_list("key", flat=True)))
    spent = sum(used) / len(used) if used else float(planned)
    # A decision draws `planned` prompts or the whole pool: with fewer in it than it needs, it runs out of votes.
    usable = sum(by_uses)
    decisions = math.floor(left / max(spent, 1.0)) if usable >= MIN_PROMPTS else 0
    pace = a_year()
    until = None
    if pace:
        until = timezone.now() + timedelta(days=365 * decisions / pace)
    return Budget(
        fresh=by_uses[0], by_uses=by_uses, retired=len(uses) - usable,
        quarantined=mine.filter(quarantined=True).count(), uses=left, per_decision=round(spent, 1),
        decisions=decisions, a_year=pace, more_needed=until,
    )  # fmt: skip


def _used_by_decisions(keys: set[str]) -> list[int]:
    """How many of these prompts each decided decision has used."""
    decided = Decision.objects.filter(status__in=("promoted", "refused")).values_list("figures", flat=True)
    counts = [len(keys & {vote["prompt"] for vote in figures.get("votes", [])}) for figures in decided]
    return [count for count in counts if count]


def a_year(alias: str | None = None) -> float | None:
    """Decisions a year at the pace of the last 365 days; None before two weeks and three decisions tell a pace."""
    since = timezone.now() - timedelta(days=365)
    found = Decision.objects.filter(created_at__gt=since)
    if alias is not None:
        found = found.filter(alias=alias)
    times = list(found.order_by("created_at").values_list("created_at", flat=True))
    days = (timezone.now() - times[0]) / timedelta(days=1) if times else 0.0
    if len(times) < 3 or days < 14:
        return None
    return len(times) * 365 / days
