"""How a queue gets on: what is left, how fast it goes, when it will be done, and what needs somebody's attention."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count
from django.db.models.functions import TruncDate
from django.utils import timezone

from . import quality
from .models import FlagCase, Item, Judgment, Membership, Queue, Seat

DAYS = 30
LOW_ALPHA = 0.2
STALLED = timedelta(days=2)


def remaining(queue: Queue) -> int:
    """Answers still wanted: seats of open items that nobody has judged."""
    return Seat.objects.filter(queue=queue, item__status="open").exclude(status="judged").count()


def finish(queue: Queue, per_hour: float | None, left: int) -> datetime | None:
    """When the rest will be done at the pace of the last day's working hours; None where there is no pace."""
    if not per_hour or queue.status != "open":
        return None
    worked = _hours_a_day(queue)
    days = left / (per_hour * worked)
    return timezone.now() + timedelta(days=days) if days < 3650 else None


def _hours_a_day(queue: Queue) -> float:
    """Clock hours a day in which anything was judged, over the days of the last week that saw any."""
    since = timezone.now() - timedelta(days=7)
    rows = Judgment.objects.filter(queue=queue, created_at__gte=since, assignment__isnull=False)
    hours = set(rows.datetimes("created_at", "hour"))
    days = {hour.date() for hour in hours}
    return max(len(hours) / max(len(days), 1), 1.0)


def burn_down(queue: Queue, days: int = DAYS) -> list[tuple[date, int]]:
    """What was left at the end of each of the last days: today's remainder plus what was settled since."""
    since = timezone.now() - timedelta(days=days)
    settled = dict(
        Item.objects.filter(queue=queue, settled_at__gte=since, status="settled")
        .annotate(day=TruncDate("settled_at")).values_list("day").annotate(n=Count("pk"))
    )  # fmt: skip
    left = Item.objects.filter(queue=queue, status="open", gold__isnull=True).count()
    found = []
    for back in range(days):
        day = (timezone.now() - timedelta(days=back)).date()
        found.append((day, left))
        left += settled.get(day, 0)
    return found[::-1]


def alarms(queue: Queue, figures: dict[str, Any]) -> list[str]:
    """What somebody should look at, in sentences; the most pressing first."""
    found = []
    cases = FlagCase.objects.filter(item__queue=queue, status="raised").count()
    appeals = Membership.objects.filter(queue=queue, paused_at__isnull=False, appealed_at__isnull=False).count()
    if cases:
        found.append(f"{cases} item{'s' if cases > 1 else ''} held: two people flagged harm.")
    if appeals:
        found.append(f"{appeals} {'people appeal' if appeals > 1 else 'person appeals'} against a pause.")
    left = figures["left_pick_rate"]
    if left["p"] is not None and left["p"] < 0.001:
        found.append(f"The left answer is picked {100 * left['value']:.0f}% of the time (p {left['p']:.0e}).")
    agreed = figures["agreement"]
    if agreed["alpha_high"] is not None and agreed["alpha_high"] < LOW_ALPHA:
        found.append(f"Agreement is low: alpha {agreed['alpha']:.2f} over {agreed['n']} items.")
    return found + _supply(queue)


def _supply(queue: Queue) -> list[str]:
    """Alarms about what the queue lives on: people, gold, work."""
    if queue.status != "open":
        return []
    found = []
    if not Membership.objects.filter(queue=queue, role="annotator", paused_at__isnull=True).exists():
        found.append("Nobody can label here: there is no annotator, or all are paused.")
    gold = Item.objects.filter(queue=queue, gold__isnull=False, status="open").count()
    if (queue.gold_rate or queue.qualify_of) and gold < max(12, queue.qualify_of):
        found.append(f"Too little gold: {gold} items; the pausing test needs 12 a person.")
    last = Judgment.objects.filter(queue=queue).order_by("-created_at").values_list("created_at", flat=True).first()
    if last is not None and timezone.now() - last > STALLED and remaining(queue):
        found.append(f"Nothing was judged since {last:%d %B}.")
    return found


def overview(queue: Queue) -> dict[str, Any]:
    """One row of the list of queues."""
    figures = quality.queue_stats(queue)
    left = remaining(queue)
    return {
        "queue": queue,
        "figures": figures,
        "left": left,
        "finish": finish(queue, figures["judgments_per_hour"], left),
        "alarms": alarms(queue, figures),
    }
