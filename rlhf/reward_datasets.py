"""Reward datasets: ordering them, building them, and what stands in them. How each step works: rlhf/freezing/."""

from __future__ import annotations

import errno
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from feedback import aggregation, clustering, events
from feedback.clean_text import canonical_json
from feedback.errors import BadInput, Conflict, NotFound, PlumblineError, StaleTransition
from feedback.lifecycle import advance
from feedback.models import ARMS, Judgment, Queue, User
from feedback.wake import wake

from . import artifacts
from .freezing import card, entries, judgment_list, leaks, rules, texts, votes, writing
from .freezing.recipe import Recipe
from .freezing.rows import FILES
from .models import RewardDataset

STALE = timedelta(seconds=120)


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
        dataset = RewardDataset.objects.create(name=name, recipe=parsed.as_json(), created_by=actor)
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
    except OSError as broken:
        if broken.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advance(dataset, "failed", error=f"Building stopped: {broken}"[:500])
            raise
        advance(dataset, "failed", error=f"There is no room left under {artifacts.root()}; nothing was kept of it.")
        return dataset
    except Exception as broken:
        advance(dataset, "failed", error=f"Building stopped: {type(broken).__name__}: {broken}"[:500])
        raise
    with transaction.atomic():
        advance(dataset, "ready", digest=digest, artifact=digest, counts=counts, error="", ready_at=timezone.now())
        events.record("dataset.ready", dataset, after={"digest": digest, "counts": counts["rows"]})
        wake("rlhf.tasks.tick_loops")
        wake("rlhf.tasks.report_leaks")
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
    while aggregation.gather() or clustering.cluster_new():  # what came in a second ago belongs in
        pass
    recipe, queues = Recipe.parse(dataset.recipe), list(dataset.queues.order_by("slug"))
    artifacts.root().mkdir(parents=True, exist_ok=True)
    _sweep_leftovers()
    with tempfile.TemporaryDirectory(dir=artifacts.root(), prefix=".dataset-", ignore_cleanup_errors=True) as made:
        folder, aside = Path(made) / "files", Path(made) / "aside"
        folder.mkdir()
        aside.mkdir()
        plan, funnel = _plan(aside, queues, recipe)
        written = writing.write(folder, aside, plan)
        if not written.rows["train"] and not written.rows["kto"] and not written.rows["sft"]:
            raise Conflict(
                "There is no decisive train pair to learn from: "
                f"{funnel['judgments']} judgments came in, {funnel['pairs']} pairs were settled."
            )
        counts = _counts(plan, written, funnel, queues)
        digest = written.digest(recipe.as_json())
        used = _judgments(plan)
        judgment_list.write(folder, used)
        manifest = {
            "digest": digest, "recipe": recipe.as_json(), "queues": [q.slug for q in queues], "counts": counts,
            "judgments": len(used),
        }  # fmt: skip
        (folder / "manifest.json").write_bytes(canonical_json(manifest))
        (folder / "README.md").write_text(card.card(manifest, *_people(plan)), encoding="utf-8")
        artifacts.publish(folder, kind="dataset", digest=digest)
    return digest, counts


def _plan(aside: Path, queues: list[Queue], recipe: Recipe) -> tuple[writing.Plan, dict[str, int]]:
    """Everything but the texts in memory, the texts laid aside, and who stays decided."""
    fates = votes.fates(queues, recipe)
    pairs, cast = votes.read(queues, recipe)
    held = rules.held_out(cast, recipe.held_out)
    dev = pairs.split[cast.pair] == votes.SPLITS["dev"]
    away = held[cast.person] != dev if recipe.held_out else np.zeros(len(cast), bool)
    cast = cast.only(~away)
    rows = entries.aggregate(pairs, cast, recipe)
    fate = rules.by_columns(pairs, rows, recipe)
    facts = texts.lay_aside(aside, np.flatnonzero(fate.inside), pairs, rows, recipe)
    rules.by_texts(fate, facts, pairs, rows, recipe)
    label, weight = rules.kto(pairs, rows)
    edited = np.array([q.pk for q in queues if q.kind == "edit"], np.int64)
    imitate = np.isin(pairs.queue[rows.pair], edited) & (label == 1)
    plan = writing.Plan(
        pairs, cast, rows, fate.inside, rules.files(pairs, rows), label, weight, imitate, {q.pk: q.slug for q in queues}
    )
    return plan, _funnel(fates, len(pairs), int(away.sum()), fate)


def _funnel(fates: dict[str, int], pairs: int, away: int, fate: rules.Fate) -> dict[str, int]:
    """Names for the page, the API and the command: what came in, then "out: reason" in the order of the rules."""
    found = {"judgments": sum(fates.values())}
    found |= {f"judgments out: {reason}": n for reason, n in sorted(fates.items()) if reason}
    found |= {"votes out: people held out": away} if away else {}
    found["pairs"] = pairs
    return found | {f"out: {reason}": n for reason, n in fate.counts().items()}


def _people(plan: writing.Plan) -> tuple[int, float | None]:
    """How many people voted, and how often two on the same pair said the same (None where nobody met)."""
    cast = plan.votes
    pair = np.stack([cast.pair, cast.outcome], axis=1)
    _, same = np.unique(pair, axis=0, return_counts=True) if len(cast) else (pair, np.empty(0, int))
    _, met = np.unique(cast.pair, return_counts=True)
    twice = (met * (met - 1)).sum()
    return len(np.unique(cast.person)), float((same * (same - 1)).sum() / twice) if twice else None


def report_leaks(*, limit: int = 1) -> int:
    """Write the leak report of ready datasets that have none yet; returns how many were written."""
    waiting = RewardDataset.objects.filter(status="ready", leaks__isnull=True).order_by("-created_at")[:limit]
    done = 0
    for dataset in waiting:
        try:
            found = leaks.report(artifacts.path_of(dataset.artifact))
        except (NotFound, OSError):
            found = {}  # its files are on another machine
        RewardDataset.objects.filter(pk=dataset.pk).update(leaks=found)
        done += 1
    return done


def verify(*, dataset: RewardDataset) -> list[str]:
    """What is wrong with the files: names that are missing or changed, or rows that do not make the digest."""
    folder = artifacts.path_of(dataset.artifact)
    wrong = artifacts.verify(dataset.artifact)
    if wrong:
        return wrong
    found = writing.redigest(folder, Recipe.parse(dataset.recipe).as_json())
    return [] if found == dataset.digest else [f"the rows make {found[:12]}, not {dataset.digest[:12]}"]


def content_digest(dataset: RewardDataset) -> str:
    """sha256 over texts and verdicts alone: equal for the same pairs wherever, and under whatever ids, they lie."""
    return writing.content_digest(artifacts.path_of(dataset.artifact))


def _judgments(plan: writing.Plan) -> list[str]:
    """The judgments behind the rows written."""
    rows = np.flatnonzero(plan.inside & ((plan.file >= 0) | (plan.label >= 0)))
    used = np.zeros(len(plan.votes) + 1, np.int32)
    np.add.at(used, plan.entries.start[rows], 1)
    np.add.at(used, plan.entries.end[rows], -1)
    ids = np.unique(plan.votes.judgment[np.cumsum(used[:-1]) > 0])
    return [writing.uuid_of(h) for h in ids.tolist()]


def _sweep_leftovers() -> None:
    """Temporary folders of builders that were killed; a living one is younger than this."""
    old = timezone.now().timestamp() - STALE.total_seconds() * 30
    for path in artifacts.root().glob(".dataset-*"):
        if path.stat().st_mtime < old:
            shutil.rmtree(path, ignore_errors=True)


def _counts(
    plan: writing.Plan, written: writing.Written, funnel: dict[str, int], queues: list[Queue]
) -> dict[str, Any]:
    train = plan.inside & (plan.file == rules.TRAIN)
    pair = plan.entries.pair[train]
    arms, n = np.unique(plan.pairs.arm[pair], return_counts=True)
    simulated = Judgment.objects.filter(aggregation.standing(), queue__in=queues, author_kind="simulated").count()
    return {
        "rows": {name: written.rows[name] for name in FILES},
        "splits": {"train": written.rows["train"], "dev": written.rows["test"]},
        "funnel": funnel,
        "arms": {ARMS[a]: int(c) for a, c in zip(arms.tolist(), n.tolist(), strict=True)},
        "prompts": len(np.unique(plan.pairs.prompt[pair])),
        "simulated_judgments": simulated,
        "demo": any(queue.demo for queue in queues),
    }
