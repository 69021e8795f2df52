"""From judgments to preferences. Counts are recomputed from what stands, never added to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from . import bulk, events
from .errors import StaleTransition
from .kinds import kind_of
from .lifecycle import advance
from .models import Comparison, Item, ItemResponse, Judgment, Preference, Queue

CHUNK = 1000  # items a transaction; about 100 ms
PairKey = tuple[int, int, int]  # (item id, response a id, response b id)
OUTCOMES = ("a", "b", "tie", "both_bad")
COMPARISON = ("judgment_id", "a_id", "b_id", "outcome", "strength", "weight")
PREFERENCE = ("item_id", "a_id", "b_id", "n_a", "n_b", "n_tie", "n_both_bad")


@dataclass
class Derived:
    """What some items' standing judgments imply: rows of COMPARISON, and counts of outcomes by pair."""

    comparisons: list[tuple[Any, ...]] = field(default_factory=list)
    counts: dict[PairKey, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def preferences(self) -> Iterator[tuple[int, ...]]:
        """Rows of PREFERENCE."""
        for key, n in self.counts.items():
            yield (*key, *(n[outcome] for outcome in OUTCOMES))


def not_counting() -> list[tuple[str, Q]]:
    """Judgments that do not count, by reason; the first that applies is the one told.

    Simulated people count in demo queues alone; a model judge's votes are kept apart everywhere; gold, practice
    and repeats measure people and teach nothing; what is withheld waits until its author is out of doubt.
    """
    # not by a join: where hardly anything is corrected, SQLite takes its index for useless and reads all, each time
    corrected = Judgment.objects.filter(supersedes__isnull=False, withdrawn_at__isnull=True).values("supersedes")
    return [
        ("withdrawn", Q(withdrawn_at__isnull=False)),
        ("corrected", Q(pk__in=corrected)),
        ("withheld", Q(withheld_at__isnull=False)),
        ("gold", Q(item__gold__isnull=False) | Q(purpose="gold")),
        ("repeats", Q(purpose="repeat")),
        ("practice and judging", ~Q(purpose="label")),
        ("simulated outside a demo", Q(author_kind="simulated", queue__demo=False)),
        ("model judges", Q(author_kind="model")),
    ]


def standing() -> Q:
    """Judgments that count: those to which no reason of `not_counting` applies."""
    return Q(*(~out for _, out in not_counting()))


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
    """The update comes before the reading: who withdraws one of these meanwhile waits, and asks for a recount."""
    items = list(Item.objects.select_for_update(of=("self",)).filter(among("pk", ids)).order_by("pk"))
    Judgment.objects.filter(among("item_id", ids), gathered_at__isnull=True).update(gathered_at=timezone.now())
    derived = derive(ids)
    if Preference.objects.filter(among("item_id", ids)).exists():
        Comparison.objects.filter(judgment__in=Judgment.objects.filter(among("item_id", ids))).delete()
        Preference.objects.filter(among("item_id", ids)).delete()
    bulk.insert(Comparison, COMPARISON, derived.comparisons)
    bulk.insert(Preference, PREFERENCE, derived.preferences())
    _settle(items)


def among(column: str, ids: list[int]) -> Q:
    """Rows of these ids (ascending). Ids without gaps are asked for as a range: a list of 1,000 takes its time."""
    if ids and ids[-1] - ids[0] + 1 == len(ids):
        return Q(**{f"{column}__gte": ids[0], f"{column}__lte": ids[-1]})
    return Q(**{f"{column}__in": ids})


def derive(ids: list[int]) -> Derived:
    """The comparisons and counts of these items (ids ascending), worked out from the judgments alone."""
    positions = _responses_by_position(ids)
    kinds = {pk: kind_of(kind) for pk, kind in Queue.objects.values_list("pk", "kind")}
    derived = Derived()
    judgments = Judgment.objects.filter(standing(), among("item_id", ids)).order_by("pk")
    columns = ("pk", "item_id", "queue_id", "answer", "strength", "wrote_id")
    for pk, item, queue, answer, strength, wrote in judgments.values_list(*columns):
        pairs = kinds[queue].pairs(answer, len(positions[item]))
        responses = positions[item] if wrote is None else [*positions[item], wrote]
        for a, b, outcome, weight in pairs:
            derived.comparisons.append((pk, responses[a], responses[b], outcome, strength, weight))
            derived.counts[item, responses[a], responses[b]][outcome] += 1
    return derived


def _responses_by_position(ids: list[int]) -> dict[int, list[int]]:
    links = ItemResponse.objects.filter(among("item_id", ids)).order_by("item_id", "position")
    found: dict[int, list[int]] = defaultdict(list)
    for item_id, response_id in links.values_list("item_id", "response_id"):
        found[item_id].append(response_id)
    return found


def _settle(items: list[Item]) -> None:
    """Settle open items whose every seat is judged."""
    ids = [item.pk for item in items if item.status == "open"]
    if not ids:
        return
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
    stored = set(Preference.objects.filter(item__in=ids).values_list(*PREFERENCE))
    wrong = sorted({row[0] for row in stored ^ set(derive(ids).preferences())})
    return [
        f"item {item.key}: stored preferences differ from its judgments" for item in Item.objects.filter(pk__in=wrong)
    ]


def rebuild_derived() -> int:
    """Derive everything again; returns the number of items."""
    ids = sorted(set(Judgment.objects.exclude(item__status="staged").values_list("item_id", flat=True)))
    for chunk in chunks(ids, CHUNK):
        _gather(chunk)
    return len(ids)
