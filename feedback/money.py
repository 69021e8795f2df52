"""What people's time came to: hours, and money where an hour has a price.

Active time is what the page measured while it was looked at; elapsed time is the clock's, from shown to answered or
skipped, at most the lease. Elapsed time is what is paid: reading, practice, gold, reviewing and skipping are work.
The person's own price an hour counts before the queue's.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TextIO

from django.db.models import F, QuerySet

from .models import Event, Judgment, Preference, Queue, Review, User

USES = ("train", "control", "overlap", "gold", "repeat", "practice", "gate", "review", "skip", "judge")
HEAD = ("person", "queue", "use", "count", "active_seconds", "elapsed_seconds", "price_hour", "cost")


@dataclass
class Line:
    """One person's work of one use in one queue. Seconds; cost None where no hour has a price."""

    user: User
    queue: Queue
    use: str
    count: int = 0
    active: float = 0.0
    elapsed: float = 0.0

    @property
    def price(self) -> Decimal | None:
        return self.user.price_hour if self.user.price_hour is not None else self.queue.price_hour

    @property
    def cost(self) -> Decimal | None:
        return None if self.price is None else self.price * Decimal(f"{self.elapsed:.3f}") / 3600


@dataclass
class Bill:
    """The lines, and the totals that pages show."""

    lines: list[Line] = field(default_factory=list)

    @property
    def cost(self) -> Decimal | None:
        """None where some work has no price: a total without it would be wrong."""
        costs = [line.cost for line in self.lines]
        return None if any(c is None for c in costs) else sum((c for c in costs if c is not None), Decimal(0))

    def by_use(self) -> dict[str, Bill]:
        found = {use: Bill([line for line in self.lines if line.use == use]) for use in USES}
        return {use: bill for use, bill in found.items() if bill.lines}

    def by_person(self) -> dict[str, Bill]:
        names = sorted({line.user.username for line in self.lines})
        return {name: Bill([line for line in self.lines if line.user.username == name]) for name in names}

    def total(self, name: str) -> float:
        return sum(getattr(line, name) for line in self.lines)

    @property
    def hours(self) -> float:
        return self.total("elapsed") / 3600

    @property
    def active_hours(self) -> float:
        return self.total("active") / 3600

    @property
    def count(self) -> int:
        return int(self.total("count"))


def bill(*, queues: Iterable[Queue]) -> Bill:
    """All work in these queues, a line for each person, queue and use."""
    found: dict[tuple[int, int, str], list[float]] = {}
    by_pk = {queue.pk: queue for queue in queues}
    for queue in by_pk.values():
        for person, use, active, elapsed in _pieces(queue):
            sums = found.setdefault((person, queue.pk, use), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += active
            sums[2] += elapsed
    people = User.objects.in_bulk({person for person, _, _ in found})
    lines = [Line(people[p], by_pk[q], use, int(n), a, e) for (p, q, use), (n, a, e) in found.items()]
    return Bill(sorted(lines, key=lambda n: (n.user.username, n.queue.slug, USES.index(n.use))))


COLUMNS = ("pk", "annotator_id", "status", "purpose", "seat__number", "item__arm", "leased_at", "shown_at", "ended_at")


def _pieces(queue: Queue) -> Iterable[tuple[int, str, float, float]]:
    """(who, what for, active seconds, elapsed seconds) of each thing done; withdrawn and withheld work is work."""
    active = _active(queue)
    done = queue.assignments.filter(status__in=("judged", "void", "skipped"))
    for pk, person, status, purpose, seat, arm, leased, shown, ended in done.values_list(*COLUMNS).iterator():
        begun = shown or leased
        elapsed = min(max(((ended or begun) - begun).total_seconds(), 0.0), float(queue.lease_seconds))
        measured = active.get(pk, elapsed)
        yield person, use_of(queue, status, purpose, seat, arm), min(measured, elapsed), elapsed
    for reviewer, ms in Review.objects.filter(judgment__queue=queue).values_list("reviewer_id", "duration_ms"):
        yield reviewer, "review", (ms or 0) / 1000, (ms or 0) / 1000


def _active(queue: Queue) -> dict[Any, float]:
    """Assignment -> seconds that the page measured, the latest judgment's where there were several."""
    rows = Judgment.objects.filter(queue=queue, assignment__isnull=False, duration_ms__isnull=False)
    measured = rows.order_by("created_at").values_list("assignment", "duration_ms")
    return {pk: (ms or 0) / 1000 for pk, ms in measured.iterator()}


def use_of(queue: Queue, status: str, purpose: str, seat: int | None, arm: str) -> str:
    """What the work was for: the words of USES."""
    if status == "skipped":
        return "skip"
    if purpose != "label":
        return purpose
    if queue.purpose == "gate":
        return "gate"
    if seat is not None and seat > 1:
        return "overlap"
    return "control" if arm == "control" else "train"


def summary(*, queues: list[Queue]) -> dict[str, Any]:
    """Cost in all, a judgment, a usable pair and a promotion; None with no price or nothing to divide by."""
    whole = bill(queues=queues)
    judgments = sum(line.count for line in whole.lines if line.use not in ("skip", "review"))
    pairs = usable_pairs(queues).count()
    promotions = Event.objects.filter(verb="deployment.changed").count()
    return {
        "bill": whole,
        "cost": whole.cost,
        "judgments": judgments,
        "per_judgment": _each(whole.cost, judgments),
        "usable_pairs": pairs,
        "per_pair": _each(whole.cost, pairs),
        "promotions": promotions,
        "per_promotion": _each(whole.cost, promotions),
    }


def usable_pairs(queues: list[Queue]) -> QuerySet[Preference]:
    """Pairs with a decisive majority, of items that are settled in queues that teach."""
    rows = Preference.objects.filter(item__queue__in=queues, item__queue__purpose="label", item__status="settled")
    return rows.exclude(n_a=F("n_b"))


def _each(cost: Decimal | None, n: int) -> Decimal | None:
    return None if cost is None or not n else cost / n


def write_csv(*, queues: Iterable[Queue], to: TextIO) -> int:
    """The bill as CSV; names that a spreadsheet would take for a formula are quoted. Returns the number of lines."""
    writer = csv.writer(to)
    writer.writerow(HEAD)
    lines = bill(queues=queues).lines
    for line in lines:
        cost = "" if line.cost is None else f"{line.cost:.4f}"
        price = "" if line.price is None else f"{line.price:.2f}"
        row = [line.user.username, line.queue.slug, line.use, line.count, f"{line.active:.1f}", f"{line.elapsed:.1f}"]
        writer.writerow([_safe(str(cell)) for cell in [*row, price, cost]])
    return len(lines)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def minutes(seconds: float) -> str:
    """A length of time for people: 1 h 05 min, or 12 min, or 40 s."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60:02d} min" if whole >= 60 else f"{whole} min"
