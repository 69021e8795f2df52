"""Preference pairs as token ids, and the order in which training sees them, all fixed before the first step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from rlhf.engine.chat import Messages, prompt_ids, with_system
from rlhf.engine.run_dir import UserError, read_rows

PAIRS = "inputs/pairs.jsonl"
BUCKET = 8  # batches within which rows of similar length are put together


@dataclass
class Pairs:
    """Rows {"prompt_ids", "chosen_ids", "rejected_ids", "target", "weight"} and what happened to the others."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0  # the prompt alone fills max_length
    truncated: int = 0  # an answer loses its end

    def lengths(self) -> list[int]:
        """Tokens of the longer side of each pair."""
        return [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in self.rows]

    def tokens(self, max_length: int) -> list[int]:
        """Tokens that are read of each pair: prompt and answer, twice, each cut to `max_length`."""
        return [
            sum(min(len(row["prompt_ids"]) + len(row[f"{side}_ids"]), max_length) for side in ("chosen", "rejected"))
            for row in self.rows
        ]


def read_pairs(path: Path, tokenizer: Any, system_prompt: str, max_length: int) -> Pairs:
    """Tokenise pairs.jsonl. Weights are scaled to a mean of 1. UserError when no row is left."""
    pairs = Pairs()
    for number, row in enumerate(read_rows(path, ("prompt", "chosen", "rejected")), start=1):
        encoded = _encode(row, number, tokenizer, system_prompt)
        if len(encoded["prompt_ids"]) >= max_length:
            pairs.dropped += 1
            continue
        longest = max(len(encoded["chosen_ids"]), len(encoded["rejected_ids"]))
        pairs.truncated += len(encoded["prompt_ids"]) + longest > max_length
        pairs.rows.append(encoded)
    total = sum(row["weight"] for row in pairs.rows)
    if not total > 0:
        raise UserError("no_pairs", "no pair is left to train on", PAIRS)
    for row in pairs.rows:
        row["weight"] *= len(pairs.rows) / total
    return pairs


def _encode(row: dict[str, Any], number: int, tokenizer: Any, system_prompt: str) -> dict[str, Any]:
    target, weight = float(row.get("target", 1.0)), float(row.get("weight", 1.0))
    if not (0 <= target <= 1 and 0 <= weight < float("inf")):
        where = f"{PAIRS}:{number}"
        raise UserError("bad_input", f"{where}: target must lie in [0, 1], weight be finite and not negative", where)
    return {
        "prompt_ids": prompt_ids(tokenizer, with_system(row["prompt"], system_prompt)),
        "chosen_ids": answer_ids(row, "chosen", f"{PAIRS}:{number}", tokenizer),
        "rejected_ids": answer_ids(row, "rejected", f"{PAIRS}:{number}", tokenizer),
        "target": target,
        "weight": weight,
    }


def answer_ids(row: dict[str, Any], side: str, where: str, tokenizer: Any) -> list[int]:
    """An answer's tokens with the end of turn, which is left out where `{side}_finish_reason` is "length": a
    text that was cut off must not teach the policy to stop there."""
    messages: Messages = row[side]
    if len(messages) != 1 or messages[0].get("role") != "assistant":
        raise UserError("bad_input", f"{where}: {side} must be one assistant message", where)
    ids: list[int] = tokenizer(messages[0]["content"], add_special_tokens=False)["input_ids"]
    return ids if row.get(f"{side}_finish_reason") == "length" else [*ids, tokenizer.eos_token_id]


def plan(lengths: Sequence[int], steps: int, batch_size: int, seed: int) -> list[int]:
    """Row numbers of all `steps * batch_size` places: whole passes in random order, similar lengths together.

    Written out beforehand so that a resumed run meets exactly the rows that it would have met.
    """
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < steps * batch_size:
        order += rng.sample(range(len(lengths)), len(lengths))
    order = order[: steps * batch_size]
    planned: list[int] = []
    for start in range(0, len(order), BUCKET * batch_size):
        bucket = sorted(order[start : start + BUCKET * batch_size], key=lambda row: lengths[row])
        batches = [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
        rng.shuffle(batches)
        planned += [row for batch in batches for row in batch]
    return planned


def tokens_by_step(tokens: Sequence[int], order: Sequence[int], batch_size: int) -> list[int]:
    """Tokens read up to and including each step."""
    batches = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return list(accumulate(sum(tokens[row] for row in batch) for batch in batches))
