"""What to ask people next: pairs out of many candidate answers, a share of them drawn at random."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import numpy as np

from feedback import pairing
from feedback.models import Item, Queue, Response, User

from . import artifacts
from .models import Run
from .selection_rules import choose_pairs

VISIBLE = 0.9  # answers more alike than this (shared words) are not worth a person's time


def scores_of(run: Run) -> tuple[list[str], np.ndarray, dict[str, dict[str, float]]]:
    """A score run's output: response keys, posterior draws (keys, K), and {"mean", "sd"} by key."""
    folder = artifacts.path_of(run.artifact)
    keys = json.loads((folder / "ids.json").read_text())
    lines = (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    summary = {row["id"]: row for row in map(json.loads, lines)}
    return keys, np.load(folder / "draws.npy"), summary


def differ_visibly(a: str, b: str) -> bool:
    """Whether a person would see a difference at a glance: Jaccard similarity of word bigrams below .9."""
    one, two = _bigrams(a), _bigrams(b)
    return len(one & two) < VISIBLE * len(one | two)


def _bigrams(text: str) -> set[tuple[str, str]]:
    words = ["", *text.casefold().split(), ""]
    return set(zip(words, words[1:], strict=False))


def by_prompt(responses: Iterable[Response]) -> dict[int, list[Response]]:
    """Prompt id -> its responses with texts that differ visibly, in a fixed order."""
    found: dict[int, list[Response]] = {}
    for response in sorted(responses, key=lambda r: (r.prompt.key, r.draw, r.key)):
        kept = found.setdefault(response.prompt_id, [])
        if response.content.strip() and all(differ_visibly(response.content, other.content) for other in kept):
            kept.append(response)
    return {prompt: kept for prompt, kept in found.items() if len(kept) > 1}


def ask(
    *, queue: Queue, score_run: Run, limit: int, seed: int, actor: User | None = None
) -> tuple[list[Item], dict[str, int]]:
    """Fill the queue with up to `limit` new pairs from scored responses; at most one open pair a prompt.

    Returns the items and how many came by which arm. Pairs already asked are left out.
    """
    keys, draws, _ = scores_of(score_run)
    row_of = {key: n for n, key in enumerate(keys)}
    responses = Response.objects.filter(key__in=keys).select_related("prompt")
    busy = set(Item.objects.filter(queue=queue, status="open").values_list("prompt_id", flat=True))
    pools = {p: rs for p, rs in by_prompt(responses).items() if p not in busy}
    prompts = sorted(pools, key=lambda p: pools[p][0].prompt.key)
    random.Random(seed).shuffle(prompts)
    tables = [draws[[row_of[r.key] for r in pools[p]]].T for p in prompts]
    rng = np.random.default_rng(seed)
    picked = choose_pairs(tables, queue.selection, queue.control_rate, rng, limit)
    drafts = [
        pairing.Draft(pools[prompts[n]][0].prompt, [pools[prompts[n]][i], pools[prompts[n]][j]], arm=arm)
        for n, i, j, arm in picked
    ]
    items, created = pairing.add_items(queue=queue, drafts=drafts, actor=actor)
    arms = {arm: sum(d.arm == arm for d in drafts) for arm in ("control", "active")}
    return items, {**arms, "new": created}


def best_and_worst(score_run: Run, *, penalty: float = 1.0, min_gap: float = 0.0) -> list[dict[str, object]]:
    """Per prompt the best and the worst answer by mean - penalty * sd, at least `min_gap` apart: pairs for DPO."""
    _, _, summary = scores_of(score_run)
    responses = Response.objects.filter(key__in=list(summary)).select_related("prompt")
    pairs: list[dict[str, object]] = []
    for pool in by_prompt(responses).values():
        value = {r.key: summary[r.key]["mean"] - penalty * summary[r.key]["sd"] for r in pool}
        best, worst = max(pool, key=lambda r: value[r.key]), min(pool, key=lambda r: value[r.key])
        gap = value[best.key] - value[worst.key]
        if gap > min_gap:
            pairs.append(
                {
                    "chosen": best.key,
                    "rejected": worst.key,
                    "target": 1.0,
                    "weight": 1.0,
                    "gap": round(gap, 6),
                }
            )
    return sorted(pairs, key=lambda pair: str(pair["chosen"]))
