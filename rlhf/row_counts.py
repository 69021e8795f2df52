"""How many rows a training would drop or cut, and how many tokens it reads, counted with the base's own tokenizer.

No torch: `tokenizers` counts, and the chat template is rendered as transformers renders it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

Row = dict[str, Any]
MOST = 2000  # rows that are counted; of more, an even sample stands for all


@dataclass(frozen=True)
class RowCounts:
    """rows: how many there are; counted: how many of them were looked at; the rest is of all rows.

    dropped: never trained on; truncated: an answer loses its end; tokens: mean tokens read of a row.
    """

    rows: int
    counted: int
    dropped: int
    truncated: int
    tokens: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Counter:
    """Token counts of conversations under the tokenizer and chat template of a model directory."""

    def __init__(self, model: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.special, template = _settings(model)
        self.template = _environment().from_string(template)

    def prompts(self, conversations: Sequence[list[dict[str, str]]]) -> list[int]:
        """Tokens up to where the assistant starts to answer."""
        return self._count(
            [self.template.render(messages=m, add_generation_prompt=True, **self.special) for m in conversations]
        )

    def answers(self, texts: Sequence[str]) -> list[int]:
        """Tokens of answers, the end of turn included."""
        return [n + 1 for n in self._count(texts)]

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(found.ids) for found in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _settings(model: Path) -> tuple[dict[str, str], str]:
    """Special tokens by name, and the chat template. ValueError without one."""
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    special = {name: _text(config[name]) for name in names if config.get(name)}
    beside = model / "chat_template.jinja"
    template = beside.read_text(encoding="utf-8") if beside.exists() else config.get("chat_template")
    if not isinstance(template, str) or not template:
        raise ValueError("the base's tokenizer has no chat template")
    return special, template


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(message: str) -> str:
    raise ValueError(message)


def count(kind: str, rows: Sequence[Row], model: Path, config: dict[str, Any], system_prompt: str = "") -> RowCounts:
    """What will happen to the rows of a training. OSError or ValueError where the tokenizer cannot be read.

    Rewards drop pairs of which a side is longer than `max_length`; the others drop rows whose prompt fills it, and
    cut answers; policy gradients drop prompts that leave no room for an answer. A head cuts texts and drops nothing.
    """
    step = max(1, -(-len(rows) // MOST))
    some = rows[::step]
    counter = Counter(model)
    prompts = counter.prompts([_with_system(_prompt(row), system_prompt) for row in some])
    fates = FATES[kind](counter, some, prompts, config)
    kept = [fate for fate in fates if not fate.dropped]
    scale = len(rows) / max(1, len(some))
    return RowCounts(
        rows=len(rows),
        counted=len(some),
        dropped=round(scale * (len(fates) - len(kept))),
        truncated=round(scale * sum(fate.cut for fate in kept)),
        tokens=round(sum(fate.tokens for fate in kept) / max(1, len(kept)), 1),
    )


@dataclass(frozen=True)
class Fate:
    """What becomes of one row."""

    tokens: int
    dropped: bool = False
    cut: bool = False


def _prompt(row: Row) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = row.get("messages") or row["prompt"]
    return messages


def _with_system(messages: list[dict[str, str]], system_prompt: str) -> list[dict[str, str]]:
    if not system_prompt:
        return messages
    if messages and messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{system_prompt}\n\n{messages[0]['content']}"}, *messages[1:]]
    return [{"role": "system", "content": system_prompt}, *messages]


def _sides(counter: Counter, rows: Sequence[Row], *names: str) -> list[tuple[int, ...]]:
    counts = [counter.answers([row[name][-1]["content"] for row in rows]) for name in names]
    return list(zip(*counts, strict=True))


def _pairs(counter: Counter, rows: Sequence[Row], prompts: list[int], config: dict[str, Any]) -> list[Fate]:
    limit, sides = config["max_length"], _sides(counter, rows, "chosen", "rejected")
    return [
        Fate(sum(min(p + s, limit) for s in side), p >= limit, p + max(side) > limit)
        for p, side in zip(prompts, sides, strict=True)
    ]


def _answers(counter: Counter, rows: Sequence[Row], prompts: list[int], config: dict[str, Any]) -> list[Fate]:
    limit, sides = config["max_length"], _sides(counter, rows, "completion")
    return [
        Fate(min(p + side[0], limit), p >= limit, p + side[0] > limit) for p, side in zip(prompts, sides, strict=True)
    ]


def _prompts(counter: Counter, rows: Sequence[Row], prompts: list[int], config: dict[str, Any]) -> list[Fate]:
    room = config["max_length"] - config["max_new_tokens"]
    return [Fate(p + config["max_new_tokens"], p > room) for p in prompts]


def _reward(counter: Counter, rows: Sequence[Row], prompts: list[int], config: dict[str, Any]) -> list[Fate]:
    limit, head = config["max_length"], config["method"] == "head"
    sides = [(a - 1, b - 1) for a, b in _sides(counter, rows, "chosen", "rejected")]  # no end of turn
    return [
        Fate(sum(min(p + s, limit) for s in side), not head and p + max(side) > limit, head and p + max(side) > limit)
        for p, side in zip(prompts, sides, strict=True)
    ]


FATES: dict[str, Callable[[Counter, Sequence[Row], list[int], dict[str, Any]], list[Fate]]] = {
    "dpo": _pairs,
    "kto": _answers,
    "sft": _answers,
    "rloo": _prompts,
    "grpo": _prompts,
    "reward": _reward,
}
