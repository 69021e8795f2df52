"""Freezing preferences into a dataset: rows in a fixed order, a digest of their content, manifest last."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from feedback import aggregation, events
from feedback.clean_text import canonical_json, content_key
from feedback.errors import BadInput, Conflict, PlumblineError, StaleTransition
from feedback.lifecycle import advance
from feedback.models import ARMS, Judgment, Preference, Queue, User
from feedback.wake import wake

from . import artifacts
from .freezing import judgment_list
from .models import RewardDataset

STALE = timedelta(seconds=120)
FILES = ("train", "test", "ties", "kto", "sft")
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PREFERENCE_SCHEMA = pa.schema(
    [
        ("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES), ("probability", pa.float64()),
        ("margin", pa.float64()), ("votes", pa.int64()), ("tie", pa.bool_()), ("prompt_id", pa.string()),
        ("pair_id", pa.string()), ("judgment_ids", pa.list_(pa.string())), ("arm", pa.string()),
        ("queue", pa.string()), ("group", pa.string()),
    ]
)  # fmt: skip
KTO_SCHEMA = pa.schema(
    [
        ("prompt", MESSAGES), ("completion", MESSAGES), ("label", pa.bool_()), ("weight", pa.float64()),
        ("prompt_id", pa.string()), ("response_id", pa.string()), ("pair_id", pa.string()),
        ("judgment_ids", pa.list_(pa.string())), ("arm", pa.string()), ("queue", pa.string()), ("group", pa.string()),
    ]
)  # fmt: skip
SFT_SCHEMA = pa.schema(
    [
        ("prompt", MESSAGES), ("completion", MESSAGES), ("prompt_id", pa.string()), ("response_id", pa.string()),
        ("source", pa.string()), ("judgment_ids", pa.list_(pa.string())), ("queue", pa.string()),
        ("group", pa.string()),
    ]
)  # fmt: skip
SCHEMAS = {name: PREFERENCE_SCHEMA for name in ("train", "test", "ties")} | {"kto": KTO_SCHEMA, "sft": SFT_SCHEMA}
Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What goes in: arms, the least votes a pair needs, and how sure the votes must be (.5 takes all)."""

    arms: tuple[str, ...] = ARMS
    min_votes: int = 1
    min_probability: float = 0.5

    @classmethod
    def parse(cls, data: Any) -> Recipe:
        """A checked recipe; BadInput names the field."""
        if not isinstance(data, dict):
            raise BadInput("recipe: expected an object.", where="recipe")
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise BadInput(f"recipe.{name}: unknown; known are {', '.join(sorted(known))}.", where=f"recipe.{name}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        recipe = cls(**values)
        recipe._check()
        return recipe

    def _check(self) -> None:
        if not isinstance(self.arms, tuple) or not self.arms or any(arm not in ARMS for arm in self.arms):
            raise BadInput(f"recipe.arms: expected some of {', '.join(ARMS)}.", where="recipe.arms")
        if not isinstance(self.min_votes, int) or isinstance(self.min_votes, bool) or self.min_votes < 1:
            raise BadInput("recipe.min_votes: expected a whole number from 1.", where="recipe.min_votes")
        sure = self.min_probability
        if isinstance(sure, bool) or not isinstance(sure, int | float) or not 0.5 <= sure <= 1:
            raise BadInput("recipe.min_probability: expected .5 to 1.", where="recipe.min_probability")


def order(
    *, name: str, queues: list[Queue], recipe: dict[str, Any] | None = None, actor: User | None = None
) -> RewardDataset:
    """Ask for a dataset; a worker builds it. Raises BadInput for a bad recipe, no queue, or a gate queue."""
    parsed = Recipe.parse(recipe or {})
    if not name or len(name) > 120:
        raise BadInput("name: 1 to 120 characters.", where="name")
    if not queues:
        raise BadInput("queues: name at least one.", where="queues")
    for queue in queues:
        if queue.purpose == "gate":
            raise Conflict(f"{queue.slug} holds votes of a decision; they never train anything.", where="queues")
    with transaction.atomic():
        dataset = RewardDataset.objects.create(
            name=name, recipe={**asdict(parsed), "arms": sorted(parsed.arms)}, created_by=actor
        )
        dataset.queues.set(queues)
        events.record("dataset.ordered", dataset, actor=actor, after={"queues": [q.slug for q in queues]})
        wake("rlhf.tasks.build_dataset", str(dataset.pk))
    return dataset


def build(*, dataset_id: Any) -> RewardDataset:
    """Build an ordered dataset. Of several callers one builds; the others get the row as it stands."""
    dataset = RewardDataset.objects.get(pk=dataset_id)
    try:
        advance(dataset, "building", heartbeat_at=timezone.now(), attempt=F("attempt") + 1)
    except (StaleTransition, Conflict):
        return RewardDataset.objects.get(pk=dataset_id)
    try:
        digest, counts = _write(dataset)
    except PlumblineError as wrong:
        advance(dataset, "failed", error=wrong.message[:500])
        return dataset
    except Exception as broken:
        advance(dataset, "failed", error=f"Building stopped: {type(broken).__name__}: {broken}"[:500])
        raise
    with transaction.atomic():
        advance(dataset, "ready", digest=digest, artifact=digest, counts=counts, error="", ready_at=timezone.now())
        events.record("dataset.ready", dataset, after={"digest": digest, "counts": counts["rows"]})
        wake("rlhf.tasks.tick_loops")
    return dataset


def sweep() -> int:
    """Wake a builder for datasets that wait, and put back those whose builder died; returns how many."""
    orphaned = RewardDataset.objects.filter(status="building", heartbeat_at__lt=timezone.now() - STALE)
    orphaned.update(status="queued")
    waiting = RewardDataset.objects.filter(status="queued").values_list("pk", flat=True)
    for pk in waiting:
        wake("rlhf.tasks.build_dataset", str(pk))
    return len(waiting)


def _write(dataset: RewardDataset) -> tuple[str, dict[str, Any]]:
    while aggregation.gather():  # judgments made a second ago belong in
        pass
    recipe = Recipe.parse(dataset.recipe)
    queues = list(dataset.queues.order_by("slug"))
    funnel: Counter[str] = Counter(judgments_in(queues))
    rows: dict[str, list[Row]] = {name: [] for name in FILES}
    for preference, judgments in _preferences(queues):
        _sort_in(preference, judgments, recipe, rows, funnel)
    if not rows["train"]:
        raise Conflict(
            "There is no decisive train pair to learn from: "
            f"{funnel['judgments']} judgments came in, {funnel['pairs']} pairs were settled."
        )
    for name in FILES:
        rows[name].sort(key=lambda row: (row["pair_id"], row.get("label", False)))
    counts = _counts(rows, funnel, queues)
    digest = content_digest(rows, dataset.recipe)
    used = {judgment for name in FILES for row in rows[name] for judgment in row["judgment_ids"]}
    manifest = {
        "digest": digest, "recipe": dataset.recipe, "queues": [q.slug for q in queues], "counts": counts,
        "judgments": len(used),
    }  # fmt: skip
    artifacts.root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=artifacts.root(), prefix=".dataset-") as folder:
        for name in FILES:
            pq.write_table(
                pa.Table.from_pylist(rows[name], schema=SCHEMAS[name]),
                Path(folder) / f"{name}.parquet",
                compression="zstd",
            )
        judgment_list.write(Path(folder), sorted(used))
        (Path(folder) / "manifest.json").write_bytes(canonical_json(manifest))
        artifacts.publish(Path(folder), kind="dataset", digest=digest)
    return digest, counts


def content_digest(rows: dict[str, list[Row]], recipe: dict[str, Any]) -> str:
    """sha256 over the recipe and the rows in order: the same judgments and recipe give the same name."""
    digest = hashlib.sha256(canonical_json(recipe))
    for name in FILES:
        for row in rows[name]:
            digest.update(name.encode() + canonical_json(row) + b"\n")
    return digest.hexdigest()


def judgments_in(queues: list[Queue]) -> dict[str, int]:
    """How many judgments there are, and how many were left out before pairs were counted, by reason."""
    judgments = Judgment.objects.filter(queue__in=queues).exclude(item__status="staged")
    total = judgments.count()
    withdrawn = judgments.filter(withdrawn_at__isnull=False).count()
    counted = judgments.filter(aggregation.standing())
    return {
        "judgments": total,
        "withdrawn": withdrawn,
        "not_counting": total - withdrawn - counted.count(),  # gold, corrected, simulated outside a demo, model
        "simulated": counted.filter(author_kind="simulated").count(),
    }


def _preferences(queues: list[Queue]) -> Iterator[tuple[Preference, list[str]]]:
    """Settled preferences with the ids of the judgments behind them."""
    settled = (
        Preference.objects.filter(item__queue__in=queues, item__status="settled")
        .select_related("item__prompt", "item__queue", "a", "b")
        .order_by("pk")
    )
    batch: list[Preference] = []
    for preference in settled.iterator(chunk_size=2000):
        batch.append(preference)
        if len(batch) == 2000:
            yield from _with_judgments(batch)
            batch = []
    yield from _with_judgments(batch)


def _with_judgments(batch: list[Preference]) -> Iterator[tuple[Preference, list[str]]]:
    by_item: dict[int, list[str]] = defaultdict(list)
    standing = Judgment.objects.filter(aggregation.standing(), item__in={p.item_id for p in batch})
    for item_id, pk in standing.values_list("item_id", "pk"):
        by_item[item_id].append(str(pk))
    for preference in batch:
        yield preference, sorted(by_item[preference.item_id])


def _sort_in(
    p: Preference, judgments: list[str], recipe: Recipe, rows: dict[str, list[Row]], funnel: Counter[str]
) -> None:
    """Put one pair into the files it belongs to, or count why it is left out."""
    funnel["pairs"] += 1
    prompt, votes = p.item.prompt, p.n_a + p.n_b + p.n_tie
    probability = round((p.n_a + 0.5 * p.n_tie) / votes, 6) if votes else 0.5
    if prompt.split == "gate":
        funnel["out: gate prompt"] += 1
    elif prompt.quarantined:
        funnel["out: quarantined prompt"] += 1
    elif p.item.arm not in recipe.arms:
        funnel["out: arm not in the recipe"] += 1
    elif votes + p.n_both_bad < recipe.min_votes:
        funnel["out: too few votes"] += 1
    elif max(probability, 1 - probability) < recipe.min_probability:
        funnel["out: votes not sure enough"] += 1
    else:
        _place(p, judgments, votes, probability, rows, funnel)


def _place(
    p: Preference,
    judgments: list[str],
    votes: int,
    probability: float,
    rows: dict[str, list[Row]],
    funnel: Counter[str],
) -> None:
    better, worse = (p.a, p.b) if probability >= 0.5 else (p.b, p.a)
    shared = {
        "prompt": p.item.prompt.messages, "prompt_id": p.item.prompt.key, "judgment_ids": judgments,
        "pair_id": content_key(p.item.queue.slug, p.item.prompt.key, *sorted((p.a.key, p.b.key))),
        "queue": p.item.queue.slug,
    }  # fmt: skip
    row = {
        **shared, "chosen": _turn(better.content), "rejected": _turn(worse.content), "margin": 0.0, "votes": votes,
        "probability": max(probability, round(1 - probability, 6)), "tie": probability == 0.5, "arm": p.item.arm,
        "group": p.item.prompt.group,
    }  # fmt: skip
    train = p.item.prompt.split == "train"
    if not votes:
        funnel["both bad only"] += 1
    elif row["tie"] and not train:
        funnel["out: tie on a dev prompt"] += 1
    elif row["tie"]:
        rows["ties"].append(row)
    else:
        rows["train" if train else "test"].append(row)
    if train:
        rows["kto"] += [
            {
                **shared, "completion": _turn(r.content), "label": label, "weight": weight, "response_id": r.key,
                "arm": p.item.arm, "group": p.item.prompt.group,
            }
            for r, label, weight in _kto_labels(p, better, worse, row["probability"] if votes else 0.5)
        ]  # fmt: skip


def _kto_labels(p: Preference, better: Any, worse: Any, probability: float) -> list[tuple[Any, bool, float]]:
    """(answer, good, weight): a decisive pair gives one good and one bad answer, weighed by how sure the votes
    are (2p - 1); "both bad" gives two bad ones, weighed by its share of the votes; a tie says nothing."""
    if probability > 0.5:
        weight = round(2 * probability - 1, 6)
        return [(better, True, weight), (worse, False, weight)]
    share = round(p.n_both_bad / (p.n_a + p.n_b + p.n_tie + p.n_both_bad), 6)
    return [(better, False, share), (worse, False, share)] if share > 0.5 else []


def _turn(content: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": content}]


def _counts(rows: dict[str, list[Row]], funnel: Counter[str], queues: list[Queue]) -> dict[str, Any]:
    train = rows["train"]
    return {
        "rows": {name: len(rows[name]) for name in FILES},
        "splits": {"train": len(train), "dev": len(rows["test"])},
        "funnel": dict(sorted(funnel.items())),
        "arms": dict(sorted(Counter(row["arm"] for row in train).items())),
        "prompts": len({row["prompt_id"] for row in train}),
        "simulated_judgments": funnel["simulated"],
        "demo": any(queue.demo for queue in queues),
    }
