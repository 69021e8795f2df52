"""From judgments to preferences. Counts are recomputed from what stands, never added to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from . import events
from .errors import StaleTransition
from .kinds import kind_of
from .lifecycle import advance
from .models import Comparison, Item, ItemResponse, Judgment, Preference

CHUNK = 200  # items a transaction
PairKey = tuple[int, int, int]  # (item id, response a id, response b id)


@dataclass
class Derived:
    """What some items' standing judgments imply."""

    comparisons: list[Comparison] = field(default_factory=list)
    counts: dict[PairKey, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def preferences(self) -> list[Preference]:
        return [
            Preference(item_id=i, a_id=a, b_id=b, n_a=n["a"], n_b=n["b"], n_tie=n["tie"], n_both_bad=n["both_bad"])
            for (i, a, b), n in self.counts.items()
        ]


def standing() -> Q:
    """Judgments that count: not withdrawn, not corrected by one that stands, made by those who decide here.

    Simulated people count in demo queues alone; a model judge's votes are kept apart everywhere; gold
    items measure people and teach nothing.
    """
    corrected = Q(superseded_by__isnull=False, superseded_by__withdrawn_at__isnull=True)
    counting = Q(author_kind="human") | Q(author_kind="simulated", queue__demo=True)
    return Q(withdrawn_at__isnull=True, item__gold__isnull=True) & ~corrected & counting


def gather(*, limit: int = 2000) -> int:
    """Bring preferences up to date with up to `limit` items' new or withdrawn judgments; returns how many items."""
    waiting = (
        Judgment.objects.filter(gathered_at__isnull=True)
        .exclude(item__status="staged")
        .values_list("item_id", flat=True)
        .distinct()[:limit]
    )
    ids = sorted(waiting)
    for chunk in chunks(ids, CHUNK):
        _gather(chunk)
    return len(ids)


def chunks(ids: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


@transaction.atomic
def _gather(ids: list[int]) -> None:
    items = list(Item.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk"))
    read = list(Judgment.objects.filter(item__in=ids, gathered_at__isnull=True).values_list("pk", flat=True))
    derived = derive(ids)
    Comparison.objects.filter(judgment__item__in=ids).delete()
    Preference.objects.filter(item__in=ids).delete()
    Comparison.objects.bulk_create(derived.comparisons, batch_size=500)
    Preference.objects.bulk_create(derived.preferences(), batch_size=500)
    Judgment.objects.filter(pk__in=read).update(gathered_at=timezone.now())
    _settle(items)


def derive(item_ids: Iterable[int]) -> Derived:
    """The comparisons and counts of these items, worked out from the judgments alone."""
    ids = list(item_ids)
    positions = _responses_by_position(ids)
    derived = Derived()
    judgments = Judgment.objects.filter(standing(), item__in=ids).select_related("queue").order_by("pk")
    for judgment in judgments:
        responses = positions[judgment.item_id]
        for a, b, outcome in kind_of(judgment.queue.kind).pairs(judgment.answer, len(responses)):
            pair = {"a_id": responses[a], "b_id": responses[b]}
            derived.comparisons.append(
                Comparison(judgment=judgment, outcome=outcome, strength=judgment.strength, **pair)
            )
            derived.counts[judgment.item_id, pair["a_id"], pair["b_id"]][outcome] += 1
    return derived


def _responses_by_position(ids: list[int]) -> dict[int, list[int]]:
    links = ItemResponse.objects.filter(item__in=ids).order_by("item_id", "position")
    found: dict[int, list[int]] = defaultdict(list)
    for item_id, response_id in links.values_list("item_id", "response_id"):
        found[item_id].append(response_id)
    return found


def _settle(items: list[Item]) -> None:
    """Settle open items whose every seat is judged."""
    ids = [item.pk for item in items if item.status == "open"]
    full = set(
        Item.objects.filter(pk__in=ids)
        .annotate(seats_all=Count("seats"), seats_judged=Count("seats", filter=Q(seats__status="judged")))
        .filter(seats_all__gt=0, seats_all=F("seats_judged"))
        .values_list("pk", flat=True)
    )
    for item in items:
        if item.pk in full:
            _settle_one(item)


def _settle_one(item: Item) -> None:
    try:
        advance(item, "settled", settled_at=timezone.now())
    except StaleTransition:
        return
    events.record("item.settled", item)


def check_derived() -> list[str]:
    """Differences between what is stored and what the judgments imply; empty when all agrees."""
    problems: list[str] = []
    ids = sorted(set(Judgment.objects.exclude(item__status="staged").values_list("item_id", flat=True)))
    for chunk in chunks(ids, CHUNK):
        pending = set(
            Judgment.objects.filter(item__in=chunk, gathered_at__isnull=True).values_list("item_id", flat=True)
        )
        problems += _differences([i for i in chunk if i not in pending])
    return problems


def _differences(ids: list[int]) -> list[str]:
    def rows(preferences: Iterable[Preference]) -> set[tuple[int, ...]]:
        return {(p.item_id, p.a_id, p.b_id, p.n_a, p.n_b, p.n_tie, p.n_both_bad) for p in preferences}

    stored, implied = rows(Preference.objects.filter(item__in=ids)), rows(derive(ids).preferences())
    wrong = sorted({row[0] for row in stored ^ implied})
    return [
        f"item {item.key}: stored preferences differ from its judgments" for item in Item.objects.filter(pk__in=wrong)
    ]


def rebuild_derived() -> int:
    """Derive everything again; returns the number of items."""
    ids = sorted(set(Judgment.objects.exclude(item__status="staged").values_list("item_id", flat=True)))
    for chunk in chunks(ids, CHUNK):
        _gather(chunk)
    return len(ids)
