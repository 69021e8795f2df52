"""What a reward model's page says: from the table of held-out predictions in its artifact, and from the judgments."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq

from feedback.errors import NotFound
from feedback.models import Judgment, Prompt, User
from feedback.stats import reward_reports as stats
from feedback.stats.estimates import Estimate
from feedback.stats.style import STYLE_NAMES

from . import artifacts
from .models import RewardModel

TABLE = "predictions.parquet"
MOST_JUDGMENTS = 20_000  # looked up for strength and people; of a larger set the first ones
DOMAINS = ("domain", "category", "topic", "task", "subset", "source")  # metadata that names a kind of prompt
WORST = 6
ABOUT_AS_LONG = 0.1  # of the longer answer
STRENGTHS = {1: "slightly better", 2: "better", 3: "much better"}


def report(model: RewardModel, *, names: bool) -> dict[str, Any] | None:
    """Everything beyond the model's own figures; None where its artifact has no table or is not here.

    `names` False: people's figures stand under numbers, most judgments first.
    """
    try:
        rows = _rows(model.artifact)
    except NotFound:
        return None
    if not rows or not len(rows["p"]):
        return None
    p, target, groups = rows["p"], rows["target"], rows["group"]
    agree = stats.people_agree(target, rows["votes"], groups)
    voices = _voices(rows["judgment_ids"])
    return {
        "n": len(p),
        "agreement": agree if agree.n >= stats.FEWEST else None,
        "human_lines": stats.human_lines(agree.value) if agree.n >= stats.FEWEST else None,
        "bins": stats.reliability(p, target, groups),
        "breakdowns": _breakdowns(rows, voices, names),
        "leanings": sorted(stats.leanings(STYLE_NAMES, rows["style"], p, target), key=lambda x: -abs(x.controlled)),
        "members": _members(rows["agreement"]),
        "worst": _worst(model, rows),
    }


@lru_cache(maxsize=16)
def _rows(artifact: str) -> dict[str, Any]:
    """The rows that figures are taken from, as arrays; an artifact never changes. {} without a table."""
    path = artifacts.path_of(artifact) / TABLE
    if not path.exists():
        return {}
    table = pq.read_table(path).to_pylist()
    rows = [row for row in table if row["used"]]
    style = [np.subtract(row["chosen_style"], row["rejected_style"]) for row in rows]
    return {
        "p": np.array([row["probability"] for row in rows]),
        "target": np.array([row["target"] for row in rows]),
        "group": np.array([row["group"] for row in rows]),
        "votes": np.array([row["votes"] for row in rows]),
        "style": np.array(style).reshape(len(rows), -1),
        "agreement": np.array([np.nan if row["agreement"] is None else row["agreement"] for row in rows]),
        "length": [(row["chosen_length"], row["rejected_length"]) for row in rows],
        **{name: [row[name] for row in rows] for name in ("pair_id", "prompt_id", "queue", "judgment_ids")},
    }


def _voices(judgment_ids: list[list[str]]) -> list[list[tuple[int, int]]]:
    """For each pair who said how strongly: (author's key, strength)."""
    wanted = [key for keys in judgment_ids for key in keys][:MOST_JUDGMENTS]
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(wanted), 500):
        said = Judgment.objects.filter(pk__in=wanted[start : start + 500]).values_list("pk", "author_id", "strength")
        found.update({str(pk): (author, strength or 0) for pk, author, strength in said})
    return [[found[key] for key in keys if key in found] for keys in judgment_ids]


def _breakdowns(
    rows: dict[str, Any], voices: list[list[tuple[int, int]]], names: bool
) -> list[tuple[str, list[tuple[str, Estimate]]]]:
    """(title, [(level, accuracy)]) for everything that has more than one level."""
    levels: dict[str, list[Any]] = {
        "how strongly people preferred it": [_strength(pair) for pair in voices],
        "which answer people preferred": [_by_length(lengths) for lengths in rows["length"]],
        "kind of prompt": _domains(rows),
    }
    p, target, groups = rows["p"], rows["target"], rows["group"]
    found = [(title, stats.accuracy_by(each, p, target, groups)) for title, each in levels.items()]
    shown: list[tuple[str, list[tuple[str, Estimate]]]] = [
        (title, [(str(level), figure) for level, figure in table]) for title, table in found if len(table) > 1
    ]
    people = _by_person(rows, voices, names)
    return [*shown, ("person who judged", people)] if len(people) > 1 else shown


def _strength(pair: list[tuple[int, int]]) -> str | None:
    said = [strength for _, strength in pair if strength]
    return STRENGTHS.get(round(sum(said) / len(said))) if said else None


def _by_length(lengths: tuple[int, int]) -> str:
    chosen, rejected = lengths
    if abs(chosen - rejected) <= ABOUT_AS_LONG * max(chosen, rejected):
        return "one about as long"
    return "the longer one" if chosen > rejected else "the shorter one"


def _domains(rows: dict[str, Any]) -> list[str]:
    """What the prompts' metadata call them; the queue where they say nothing."""
    metadata: dict[str, Any] = {}
    keys = sorted(set(rows["prompt_id"]))
    for start in range(0, len(keys), 500):
        metadata.update(Prompt.objects.filter(key__in=keys[start : start + 500]).values_list("key", "metadata"))
    facts = [metadata.get(key) or {} for key in rows["prompt_id"]]
    name = next((name for name in DOMAINS if any(isinstance(fact.get(name), str) for fact in facts)), None)
    if name is None:
        return list(rows["queue"])
    return [str(fact.get(name) or "other")[:60] for fact in facts]


def _by_person(rows: dict[str, Any], voices: list[list[tuple[int, int]]], names: bool) -> list[tuple[str, Estimate]]:
    """Accuracy on the pairs that each person judged."""
    at = [(place, author) for place, pair in enumerate(voices) for author, _ in pair]
    if not at:
        return []
    places = np.array([place for place, _ in at])
    table = stats.accuracy_by(
        [author for _, author in at], rows["p"][places], rows["target"][places], rows["group"][places]
    )
    known = dict(User.objects.filter(pk__in=[a for a, _ in table]).values_list("pk", "username")) if names else {}
    return [(known.get(cast(int, author), f"person {n}"), figure) for n, (author, figure) in enumerate(table, start=1)]


def _members(agreement: np.ndarray) -> dict[str, Any] | None:
    """How far the members of the ensemble agree with its mean: their share on the likelier side, by pair."""
    known = agreement[np.isfinite(agreement)]
    if not len(known):
        return None
    return {"mean": float(known.mean()), "split": float((known < 0.75).mean()), "n": len(known)}


def _worst(model: RewardModel, rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The pairs on which the model was surest of the answer that people did not prefer, with their texts."""
    if model.run.dataset is None:
        return []
    order = np.argsort(rows["p"], kind="stable")
    wrong = [i for i in order[: 4 * WORST].tolist() if rows["p"][i] < 0.5 and rows["target"][i] > 0.5]
    wrong = list({rows["group"][i]: i for i in reversed(wrong)}.values())[::-1][:WORST]  # one of a prompt group
    try:
        path = artifacts.path_of(model.run.dataset.artifact) / "train.parquet"
        texts = pq.read_table(
            path, columns=["pair_id", "prompt", "chosen", "rejected"],
            filters=[("pair_id", "in", [rows["pair_id"][i] for i in wrong] or [""])],
        ).to_pylist()  # fmt: skip
    except (NotFound, OSError):
        return []
    by_id = {row["pair_id"]: row for row in texts}
    return [
        {
            "prompt": row["prompt"][-1]["content"],
            "chosen": row["chosen"][-1]["content"],
            "rejected": row["rejected"][-1]["content"],
            "sure": 1 - float(rows["p"][i]),
            "votes": int(rows["votes"][i]),
            "target": float(rows["target"][i]),
        }
        for i in wrong
        if (row := by_id.get(rows["pair_id"][i]))
    ]
