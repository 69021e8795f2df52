"""What a run took: seconds, tokens, memory, money; beside what was estimated before it started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from .models import Run


@dataclass(frozen=True)
class Facts:
    """None is not known. `estimate` has the same names as far as somebody estimated them."""

    seconds: float | None
    tokens: int | None
    memory_mb: float | None
    steps: int | None
    cost: float | None
    price: float | None  # an hour
    estimate: dict[str, Any]


def facts(run: Run) -> Facts:
    """What is known now; a running run's seconds go on."""
    seconds = seconds_taken(run)
    price = settings.PLUMBLINE_PRICE_PER_HOUR or None
    result = run.result or {}
    return Facts(
        seconds=seconds,
        tokens=result.get("tokens") or None,
        memory_mb=result.get("peak_memory_mb") or None,
        steps=run.step or None,
        cost=seconds / 3600 * price if price and seconds is not None else None,
        price=price,
        estimate=run.plan.get("estimate") or {},
    )


def seconds_taken(run: Run) -> float | None:
    """Of one attempt the engine's own seconds; of several all the time since the first began, waiting included."""
    if run.attempt <= 1 and run.result.get("seconds"):
        return float(run.result["seconds"])
    if not run.started_at or run.status == "queued":
        return None
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()
