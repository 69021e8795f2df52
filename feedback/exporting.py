"""Judgments on their way out, a line each, in public ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet

from .kinds import kind_of
from .models import ItemResponse, Judgment, Queue

CHUNK = 1000


def judgments(*, queue: Queue, withdrawn: bool = False) -> Iterator[dict[str, Any]]:
    """The queue's judgments in the order made: those that stand, or (`withdrawn`) every one ever made."""
    rows = Judgment.objects.filter(queue=queue).order_by("created_at", "pk")
    rows = rows.select_related("item__prompt", "author", "wrote")
    if not withdrawn:
        corrected = Q(superseded_by__isnull=False, superseded_by__withdrawn_at__isnull=True)
        rows = rows.filter(~corrected, withdrawn_at__isnull=True)
    for chunk in _chunks(rows):
        keys = _responses(chunk)
        for judgment in chunk:
            yield _row(judgment, keys[judgment.item_id], queue)


def _chunks(rows: QuerySet[Judgment]) -> Iterator[list[Judgment]]:
    chunk: list[Judgment] = []
    for judgment in rows.iterator(chunk_size=CHUNK):
        chunk.append(judgment)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _responses(chunk: list[Judgment]) -> dict[int, list[str]]:
    """Item -> its responses' keys by position."""
    links = ItemResponse.objects.filter(item__in={j.item_id for j in chunk}).order_by("item_id", "position")
    keys: dict[int, list[str]] = defaultdict(list)
    for item, key in links.values_list("item_id", "response__key"):
        keys[item].append(key)
    return keys


def _row(judgment: Judgment, keys: list[str], queue: Queue) -> dict[str, Any]:
    return {
        "id": str(judgment.pk),
        "queue": queue.slug,
        "item": str(judgment.item.key),
        "arm": judgment.item.arm,
        "prompt": judgment.item.prompt.key,
        "responses": keys,
        "annotator": judgment.author.username if judgment.author else judgment.annotator,
        "annotator_kind": judgment.author_kind,
        "answer": kind_of(queue.kind).by_key(judgment.answer, keys),
        "wrote": judgment.wrote.content if judgment.wrote else None,
        "spans": [{**span, "response": keys[span["response"]]} for span in judgment.spans],
        "strength": judgment.strength,
        "rationale": judgment.rationale,
        "flags": judgment.flags,
        "duration_ms": judgment.duration_ms,
        "shown": [keys[position] for position in judgment.evidence.get("order", [])],
        "guidelines_version": judgment.guidelines_version,
        "supersedes": str(judgment.supersedes_id) if judgment.supersedes_id else None,
        "created_at": judgment.created_at.isoformat(),
        "withdrawn_at": judgment.withdrawn_at.isoformat() if judgment.withdrawn_at else None,
        "withdrawn_reason": judgment.withdrawn_reason or None,
    }
