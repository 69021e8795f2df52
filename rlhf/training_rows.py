"""What a training reads, in the rows of the engine's input files: pairs, single answers, prompts, samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from feedback.models import Policy, Prompt, Response

from . import artifacts
from .models import RewardDataset, Run

SAMPLES = 3  # dev prompts that a policy in training answers
Row = dict[str, Any]


def pairs(run: Run) -> list[Row]:
    """pairs.jsonl: those that `run.inputs["pairs"]` names, and the dataset's own."""
    return [*_ranked_pairs(run.inputs.get("pairs", [])), *_dataset_pairs(run)]


def judged_answers(run: Run) -> list[Row]:
    """answers.jsonl for KTO: kto.parquet, or where a dataset has none its pairs, chosen good and rejected bad."""
    assert run.dataset is not None
    if _has(run.dataset, "kto"):
        return [_answer(row, label=row["label"], weight=row.get("weight") or 1.0) for row in _table(run.dataset, "kto")]
    return [
        _answer(row | {"completion": row[side]}, label=side == "chosen", weight=2 * row["probability"] - 1)
        for row in _table(run.dataset, "train")
        for side in ("chosen", "rejected")
    ]


def good_answers(run: Run) -> list[Row]:
    """answers.jsonl for SFT: sft.parquet, or where a dataset has none (or an empty one) the chosen answers."""
    assert run.dataset is not None
    rows = _table(run.dataset, "sft") if _has(run.dataset, "sft") else []
    if rows:
        return [_answer(row) for row in rows]
    return [_answer(row | {"completion": row["chosen"]}) for row in _table(run.dataset, "train")]


def prompts(run: Run) -> list[Row]:
    """prompts.jsonl for policy gradients: every prompt of the dataset's train pairs, once."""
    assert run.dataset is not None
    rows = reward_pairs(run)
    found = {row["prompt_id"]: row["prompt"] for row in rows}
    return [{"prompt": key, "messages": found[key]} for key in sorted(found)]


def reward_pairs(run: Run) -> list[Row]:
    """What a reward model learns from: the dataset's train pairs and ties."""
    assert run.dataset is not None
    return [*_table(run.dataset, "train"), *_table(run.dataset, "ties")]


def samples(run: Run, first: str) -> list[Row]:
    """samples.jsonl: a few dev prompts from the same corner of the instance as the prompt whose key is `first`."""
    like = Prompt.objects.filter(key=first).first()
    metadata = like.metadata if like and isinstance(like.metadata, dict) else {}
    same = {f"metadata__{name}": metadata[name] for name in ("workspace", "queue") if name in metadata}
    found = Prompt.objects.filter(split="dev", quarantined=False, **same).order_by("key")[:SAMPLES]
    return [{"prompt": prompt.key, "messages": prompt.messages} for prompt in found]


def _has(dataset: RewardDataset, name: str) -> bool:
    return (artifacts.path_of(dataset.artifact) / f"{name}.parquet").exists()


def _table(dataset: RewardDataset, name: str) -> list[Row]:
    rows: list[Row] = pq.read_table(artifacts.path_of(dataset.artifact) / f"{name}.parquet").to_pylist()
    return rows


def _answer(row: Row, label: bool = True, weight: float = 1.0) -> Row:
    return {
        "prompt_id": row["prompt_id"], "prompt": row["prompt"], "completion": row["completion"], "label": label,
        "weight": weight,
    }  # fmt: skip


def _turn(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _ranked_pairs(pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows {"prompt", "chosen", "rejected"} of keys plus target and weight -> texts."""
    keys = {p[side] for p in pairs for side in ("chosen", "rejected")}
    found = {r.key: r for r in Response.objects.filter(key__in=keys).select_related("prompt")}
    for pair in pairs:
        chosen, rejected = found[pair["chosen"]], found[pair["rejected"]]
        prompt, weight = chosen.prompt, pair.get("weight", 1.0)
        row = _pair(prompt.key, prompt.messages, chosen.content, rejected.content, pair["target"], weight)
        # an answer that was cut off must not teach the policy to stop there
        yield row | {"chosen_finish_reason": chosen.finish_reason, "rejected_finish_reason": rejected.finish_reason}


def _dataset_pairs(run: Run) -> Iterator[dict[str, Any]]:
    """The people's own pairs; `only_policy` keeps those whose two answers the starting policy wrote."""
    if run.dataset is None:
        return
    rows = reward_pairs(run)
    allowed = _texts_of(run.policy, rows) if run.inputs.get("only_policy") else None
    for row in rows:
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        prompt = row["prompt_id"]
        if allowed is None or ((prompt, chosen) in allowed and (prompt, rejected) in allowed):
            yield _pair(prompt, row["prompt"], chosen, rejected, row["probability"], 1.0)


def _texts_of(policy: Policy | None, rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    prompts = {row["prompt_id"] for row in rows}
    own = Response.objects.filter(policy=policy, prompt__key__in=prompts)
    return set(own.values_list("prompt__key", "content"))


def _pair(key: str, messages: list[dict[str, str]], chosen: str, rejected: str, target: float, weight: float) -> Row:
    return {
        "prompt_id": key, "prompt": messages, "chosen": _turn(chosen), "rejected": _turn(rejected), "target": target,
        "weight": weight,
    }  # fmt: skip
