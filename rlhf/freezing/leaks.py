"""Does anything of the held-out prompts stand in the training rows? Looked for again in the files as they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from feedback.models import Item, Prompt

WORDS = re.compile(r"\w+")
GRAM = 8  # words
SHARE = 0.5  # of a prompt's grams that must occur in one set of training prompts to be counted
SHOWN = 10


def report(folder: Path) -> dict[str, Any]:
    """Overlap of the training prompts with dev rows, gate prompts and gold:
    {name: {"prompts", "exact", "near", "ngram", "shown": [text]}}."""
    held = {
        "dev rows": list(_file_prompts(folder / "test.parquet")),
        "gate prompts": _stored(Prompt.objects.filter(split="gate")),
        "gold items": _stored(Prompt.objects.filter(pk__in=Item.objects.filter(gold__isnull=False).values("prompt"))),
    }
    wanted = {gram for rows in held.values() for text, _ in rows for gram in _grams(text)}
    whole: set[bytes] = set()
    groups: set[str] = set()
    grams: set[int] = set()
    for name in ("train.parquet", "ties.parquet", "kto.parquet", "sft.parquet"):
        for text, group in _file_prompts(folder / name):
            whole.add(_key(text))
            groups.add(group)
            grams.update(gram for gram in _grams(text) if gram in wanted)
    return {name: _compare(rows, whole, groups, grams) for name, rows in held.items()}


def _compare(rows: list[tuple[str, str]], whole: set[bytes], groups: set[str], grams: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"prompts": len(rows), "exact": 0, "near": 0, "ngram": 0, "shown": []}
    for text, group in rows:
        own = _grams(text)
        kinds = {
            "exact": _key(text) in whole,
            "near": group in groups,
            "ngram": bool(own) and len(own & grams) >= SHARE * len(own),
        }
        for kind, there in kinds.items():
            found[kind] += there
        if any(kinds.values()) and len(found["shown"]) < SHOWN:
            found["shown"].append(f"{', '.join(k for k, there in kinds.items() if there)}: {text[-200:]}")
    return found


def _file_prompts(path: Path) -> Iterator[tuple[str, str]]:
    """(text, group) of every distinct prompt of a file."""
    seen = set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=2000, columns=["prompt", "prompt_id", "group"]):
            for row in batch.to_pylist():
                if row["prompt_id"] not in seen:
                    seen.add(row["prompt_id"])
                    yield _text(row["prompt"]), row["group"]


def _stored(prompts: Any) -> list[tuple[str, str]]:
    rows = prompts.values_list("messages", "cluster", "group").iterator(chunk_size=2000)
    return [(_text(messages), cluster or group) for messages, cluster, group in rows]


def _text(messages: Iterable[dict[str, str]]) -> str:
    return "\n".join(m["content"] for m in messages if m["role"] == "user")


def _key(text: str) -> bytes:
    return hashlib.blake2b(" ".join(WORDS.findall(text.casefold())).encode(), digest_size=16).digest()


def _grams(text: str) -> set[int]:
    words = WORDS.findall(text.casefold())
    return {hash(tuple(words[i : i + GRAM])) for i in range(len(words) - GRAM + 1)}
