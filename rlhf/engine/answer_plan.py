"""Single answers as token ids, for KTO and SFT: what is read, what is dropped, what is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf.engine.chat import prompt_ids, with_system
from rlhf.engine.preference_plan import answer_ids
from rlhf.engine.run_dir import UserError, read_rows


@dataclass
class Answers:
    """Rows {"prompt_ids", "completion_ids", "label", "weight"} and what happened to the others."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0  # the prompt alone fills max_length
    truncated: int = 0  # the answer loses its end

    def lengths(self) -> list[int]:
        """Tokens of prompt and answer together."""
        return [len(row["prompt_ids"]) + len(row["completion_ids"]) for row in self.rows]


def read_answers(path: Path, tokenizer: Any, system_prompt: str, max_length: int) -> Answers:
    """Tokenise answers.jsonl: {"prompt", "completion", "label"?, "weight"?}. Weights get a mean of 1.

    UserError when no row is left, or naming the line that is wrong.
    """
    answers = Answers()
    for number, row in enumerate(read_rows(path, ("prompt", "completion")), start=1):
        encoded = _encode(row, f"inputs/{path.name}:{number}", tokenizer, system_prompt)
        room = max_length - len(encoded["prompt_ids"])
        if room <= 0:
            answers.dropped += 1
            continue
        answers.truncated += len(encoded["completion_ids"]) > room
        encoded["completion_ids"] = encoded["completion_ids"][:room]
        answers.rows.append(encoded)
    total = sum(row["weight"] for row in answers.rows)
    if not total > 0:
        raise UserError("no_answers", "no answer is left to train on", f"inputs/{path.name}")
    for row in answers.rows:
        row["weight"] *= len(answers.rows) / total
    return answers


def _encode(row: dict[str, Any], where: str, tokenizer: Any, system_prompt: str) -> dict[str, Any]:
    label, weight = row.get("label", True), row.get("weight", 1.0)
    if not isinstance(label, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise UserError("bad_input", f"{where}: label must be true or false, weight finite and not negative", where)
    return {
        "prompt_ids": prompt_ids(tokenizer, with_system(row["prompt"], system_prompt)),
        "completion_ids": answer_ids(row, "completion", where, tokenizer),
        "label": label,
        "weight": float(weight),
    }
