"""Reading what stands in the database into columns: a vote a row, and the pairs that they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When

from feedback import aggregation
from feedback.models import ARMS, Comparison, Item, Judgment, Policy, Prompt, Queue, Response, User

from .recipe import Recipe

FETCH = 20_000
OUTCOMES = {"a": 0, "b": 1, "tie": 2, "both_bad": 3}
SPLITS = {"train": 0, "dev": 1, "gate": 2}


@dataclass
class Votes:
    """n votes, sorted by (pair, judgment). `pair` numbers the rows of Pairs; `judgment` is 32 hex digits."""

    pair: np.ndarray
    judgment: np.ndarray
    person: np.ndarray  # numbers in the order of `people`
    outcome: np.ndarray
    strength: np.ndarray  # 0 where none was given
    weight: np.ndarray
    people: list[str]

    def __len__(self) -> int:
        return len(self.pair)

    def only(self, keep: np.ndarray) -> Votes:
        rows = (self.pair, self.judgment, self.person, self.outcome, self.strength, self.weight)
        return Votes(*(column[keep] for column in rows), people=self.people)  # type: ignore[misc]


@dataclass
class Pairs:
    """n pairs of answers in the order of `key` (their public id). a, b, prompt, item: rows in the database."""

    key: np.ndarray
    item: np.ndarray
    a: np.ndarray
    b: np.ndarray
    prompt: np.ndarray
    queue: np.ndarray
    arm: np.ndarray
    split: np.ndarray
    quarantined: np.ndarray
    clustered: np.ndarray
    policy_a: np.ndarray
    policy_b: np.ndarray
    a_key: np.ndarray
    b_key: np.ndarray
    prompt_key: np.ndarray

    def __len__(self) -> int:
        return len(self.key)


def read(queues: list[Queue], recipe: Recipe) -> tuple[Pairs, Votes]:
    """Every vote that counts on a settled item of these queues, under the recipe's limits of time and people."""
    rows = Comparison.objects.filter(judgment__queue__in=queues, judgment__item__status="settled")
    for _, out in limits(recipe, "judgment__"):
        rows = rows.exclude(out)
    columns = _columns(
        rows.values_list(
            "judgment_id", "judgment__item_id", "a_id", "b_id", "outcome", "strength", "weight",
            "judgment__author_id", "judgment__annotator", "judgment__item__arm", "judgment__item__prompt_id",
            "judgment__queue_id",
        )
    )  # fmt: skip
    place = np.stack([columns["item"], columns["a"], columns["b"]], axis=1).astype(">i8")
    _, first, pair = np.unique(place.view("S24").ravel(), return_index=True, return_inverse=True)
    pairs, order = _pairs({name: columns[name][first] for name in _TYPES}, queues)
    return pairs, _votes(columns, np.argsort(order)[pair] if len(order) else pair)


def limits(recipe: Recipe, at: str = "") -> list[tuple[str, Q]]:
    """What the recipe leaves out among judgments that count: (reason, which); `at` is the path to the judgment."""
    found: list[tuple[str, Q]] = []
    if recipe.since:
        found.append(("before the first day", Q(**{f"{at}created_at__lt": _midnight(recipe.since)})))
    if recipe.until:
        found.append(("after the last day", Q(**{f"{at}created_at__gte": _midnight(recipe.until)})))
    if recipe.guidelines_from > 1:
        found.append(("older guidelines", Q(**{f"{at}guidelines_version__lt": recipe.guidelines_from})))
    if recipe.annotators:
        found.append(("people not named", ~_by(recipe.annotators, at)))
    if recipe.without:
        found.append(("people left out", _by(recipe.without, at)))
    return found


def _by(people: tuple[str, ...], at: str) -> Q:
    return Q(**{f"{at}author__username__in": people}) | Q(**{f"{at}author__isnull": True, f"{at}annotator__in": people})


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def fates(queues: list[Queue], recipe: Recipe) -> dict[str, int]:
    """Judgments of these queues by the first reason that kept them out; "" for those that went in."""
    cases = [*aggregation.not_counting(), ("item not settled", ~Q(item__status="settled")), *limits(recipe)]
    fate = Case(*(When(out, then=Value(reason)) for reason, out in cases), default=Value(""), output_field=CharField())
    judgments = Judgment.objects.filter(queue__in=queues).exclude(item__status="staged").annotate(fate=fate)
    return dict(judgments.order_by().values_list("fate").annotate(n=Count("pk")))


_TYPES: dict[str, Any] = {
    "judgment": "S32", "item": np.int64, "a": np.int64, "b": np.int64, "outcome": np.int8, "strength": np.int8,
    "weight": np.float64, "author": np.int64, "annotator": np.int32, "arm": np.int8, "prompt": np.int64,
    "queue": np.int64,
}  # fmt: skip


def _columns(rows: QuerySet[Any, Any]) -> dict[str, np.ndarray]:
    """The rows as numpy columns, a chunk of tuples in memory at a time."""
    arms = {arm: n for n, arm in enumerate(ARMS)}
    names: dict[str, int] = {}
    translate: dict[str, Any] = {
        "judgment": lambda column: [pk.hex.encode() for pk in column],
        "outcome": lambda column: [OUTCOMES[o] for o in column],
        "strength": lambda column: [s or 0 for s in column],
        "author": lambda column: [pk or 0 for pk in column],
        "annotator": lambda column: [names.setdefault(n, len(names)) for n in column],
        "arm": lambda column: [arms[a] for a in column],
    }
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0, dtype)] for name, dtype in _TYPES.items()}
    for chunk in _chunks(rows):
        for (name, dtype), column in zip(_TYPES.items(), zip(*chunk, strict=True), strict=True):
            parts[name].append(np.array(translate.get(name, list)(column), dtype=dtype))
    found = {name: np.concatenate(column) for name, column in parts.items()}
    found["names"] = np.array(list(names), dtype=object)
    return found


def _chunks(rows: QuerySet[Any, Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for row in rows.order_by().iterator(chunk_size=FETCH):
        chunk.append(row)
        if len(chunk) == FETCH:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _votes(columns: dict[str, np.ndarray], pair: np.ndarray) -> Votes:
    who, people = _people(columns)
    order = np.lexsort((columns["judgment"], pair))
    rows = (pair, columns["judgment"], who, columns["outcome"], columns["strength"], columns["weight"])
    return Votes(*(column[order] for column in rows), people=people)  # type: ignore[misc, arg-type]


def _people(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Numbers of people in the order of their names: the same on every database."""
    users = dict(User.objects.filter(pk__in=np.unique(columns["author"]).tolist()).values_list("pk", "username"))
    both = np.stack([columns["author"], columns["annotator"]], axis=1)
    known, number = np.unique(both, axis=0, return_inverse=True) if len(both) else (both, np.empty(0, int))
    named = [users[a] if a else str(columns["names"][n]) for a, n in known.tolist()]
    people = sorted(set(named))
    rank = np.array([people.index(n) for n in named], dtype=np.int32)
    return rank[number.ravel()] if len(rank) else number.astype(np.int32), people


def _pairs(first: dict[str, np.ndarray], queues: list[Queue]) -> tuple[Pairs, np.ndarray]:
    """The pairs in the order of their keys, and that order."""
    items = Item.objects.filter(queue__in=queues)
    prompts = _table(
        Prompt.objects.filter(pk__in=items.values("prompt")),
        ("key", "S64"), ("split", np.int8), ("quarantined", bool), ("cluster", bool),
    ).at(first["prompt"])  # fmt: skip
    written = Response.objects.filter(prompt__in=items.values("prompt"))
    answers = _table(written, ("key", "S64"), ("policy_id", np.int32))
    a, b = answers.at(first["a"]), answers.at(first["b"])
    slugs = {queue.pk: queue.slug for queue in queues}
    keys = [
        pair_key(slugs[q], p, x, y)
        for q, p, x, y in zip(
            first["queue"].tolist(), prompts["key"].tolist(), a["key"].tolist(), b["key"].tolist(), strict=True
        )
    ]
    key = np.array(keys, dtype="S64")
    order = np.argsort(key)
    columns = (
        key, first["item"], first["a"], first["b"], first["prompt"], first["queue"], first["arm"], prompts["split"],
        prompts["quarantined"], prompts["cluster"], a["policy_id"], b["policy_id"], a["key"], b["key"], prompts["key"],
    )  # fmt: skip
    return Pairs(*(column[order] for column in columns)), order


def pair_key(queue: str, prompt: bytes, a: bytes, b: bytes) -> str:
    """The public id of a pair: content_key(queue, prompt, the two answers), spelt out, being made by the million."""
    one, other = (a, b) if a < b else (b, a)
    text = b'["%s","%s","%s","%s"]' % (queue.encode(), prompt, one, other)
    return hashlib.sha256(text).hexdigest()


@dataclass
class Table:
    """Rows of one model: ids ascending, and columns in that order."""

    ids: np.ndarray
    columns: dict[str, np.ndarray]

    def at(self, wanted: np.ndarray) -> dict[str, np.ndarray]:
        place = np.searchsorted(self.ids, wanted)
        return {name: column[place] for name, column in self.columns.items()}


def _table(rows: QuerySet[Any], *columns: tuple[str, Any]) -> Table:
    parts: dict[str, list[np.ndarray]] = {"pk": [np.empty(0, np.int64)]} | {n: [np.empty(0, t)] for n, t in columns}
    for chunk in _chunks(rows.values_list("pk", *(name for name, _ in columns))):
        for (name, dtype), column in zip((("pk", np.int64), *columns), zip(*chunk, strict=True), strict=True):
            words = {"split": SPLITS.__getitem__, "cluster": bool}.get(name)
            values = [words(v) for v in column] if words else column
            parts[name].append(np.array(values, dtype=dtype))
    found = {name: np.concatenate(column) for name, column in parts.items()}
    order = np.argsort(found["pk"], kind="stable")
    return Table(found.pop("pk")[order], {name: column[order] for name, column in found.items()})


def policies(recipe: Recipe) -> np.ndarray | None:
    """Rows of the policies that the recipe names, with their ancestors as far as it says; None for any."""
    if not recipe.policies:
        return None
    here = set(Policy.objects.filter(slug__in=recipe.policies).values_list("pk", flat=True))
    found = set(here)
    for _ in range(recipe.policy_age):
        parents = Policy.objects.filter(pk__in=here, parent__isnull=False).values_list("parent", flat=True)
        here = {pk for pk in parents if pk} - found
        found |= here
    return np.array(sorted(found))
