"""When a round begins: enough new preferences, the hour, or somebody who wants it now."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from .models import Round


def due(round_: Round, *, new: int, every: int, hours: float, least: int, now: datetime | None = None) -> str:
    """Why the round begins now, as a sentence; "" while it has to wait."""
    if new >= every:
        return f"{new} new preferences, of {every} that start a round"
    if hours and new >= least and (now or timezone.now()) >= at(round_, hours):
        return f"{hours:g} hours have passed since the last round began, with {new} new preferences"
    return ""


def at(round_: Round, hours: float) -> datetime:
    """When the schedule starts this round: so many hours after collecting began for the last one that started."""
    before = round_.loop.rounds.filter(number__lt=round_.number).order_by("-number").first()
    step = before.steps.filter(name="gathering").first() if before else None
    began = step.started_at if step else round_.created_at
    return began + timedelta(hours=hours)


def waiting(round_: Round, *, new: int, every: int, hours: float, least: int) -> str:
    """What the round waits for, with both triggers told."""
    text = f"waiting for {every - new} more preferences ({new} of {every})"
    if not hours:
        return text
    when = timezone.localtime(at(round_, hours))
    return f"{text}, or for {when:%d %b %H:%M} with at least {least}"
