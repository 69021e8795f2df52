"""What a training will take, before it starts, and how that compares with what it took.

A simple model of work and memory, corrected by earlier runs of the same kind here. It is meant to tell minutes from
days and 2 GB from 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .model_files import Shape

STARTUP = 25.0  # seconds: importing torch and TRL, loading the model
PER_TOKEN_PARAMETER = 4.4e-11  # seconds: twice what a bare forward and backward took (135M, fp32, two cores)
WORK = {"dpo": 1.35, "kto": 1.7, "sft": 1.0, "rloo": 4.0, "grpo": 4.0, "reward": 1.0}  # passes over a token, in those
HEAD_WORK = 0.3  # forward only, two thirds of the layers
LIBRARIES_MB = 700
RECENT = 20  # earlier runs that are looked at


@dataclass(frozen=True)
class Estimate:
    """steps of the optimizer, tokens read, seconds from start to end, peak memory; and what it rests on."""

    steps: int
    tokens: int
    seconds: float
    memory_mb: int
    basis: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Past:
    """One finished run: what the model alone would have said, and what happened."""

    same_base: bool
    modelled_seconds: float
    seconds: float
    modelled_mb: float
    memory_mb: float


def work_of(kind: str, config: dict[str, Any], rows: int, row_tokens: float) -> tuple[int, int]:
    """(steps, tokens): a head reads every row once; the others `batch_size` rows a step."""
    if _is_head(kind, config):
        return 0, round(rows * row_tokens)
    return config["max_steps"], round(config["max_steps"] * config["batch_size"] * row_tokens)


def modelled(kind: str, config: dict[str, Any], shape: Shape, tokens: int, row_tokens: float) -> tuple[float, float]:
    """(seconds, megabytes) by the model alone."""
    work = HEAD_WORK if _is_head(kind, config) else WORK[kind]
    seconds = STARTUP + tokens * shape.parameters * PER_TOKEN_PARAMETER * work
    return seconds, _memory(kind, config, shape, row_tokens)


def _memory(kind: str, config: dict[str, Any], shape: Shape, row_tokens: float) -> float:
    """Weights, what training keeps of them, activations of one batch, and logits over the vocabulary."""
    head, full = _is_head(kind, config), config.get("method") == "full"
    size = 4 if shape.parameters < 50e6 or config.get("precision") != "bf16" else 2
    weights = shape.parameters * size * (4 if full else 1)
    in_batch = config["batch_size"] * row_tokens
    activations = in_batch * shape.layers * shape.hidden * size * (2 if head else 30)
    logits = 0 if kind == "reward" else in_batch * 0.5 * shape.vocabulary * 4 * 3
    return LIBRARIES_MB + (weights + activations + logits) / 2**20


def _is_head(kind: str, config: dict[str, Any]) -> bool:
    return kind == "reward" and config.get("method", "head") == "head"


def estimate(
    kind: str, config: dict[str, Any], shape: Shape, rows: int, row_tokens: float, past: Sequence[Past] = ()
) -> Estimate:
    """The model's word, times the median ratio of what happened to it in earlier runs."""
    steps, tokens = work_of(kind, config, rows, row_tokens)
    seconds, memory = modelled(kind, config, shape, tokens, row_tokens)
    near = [run for run in past if run.same_base] or list(past)
    if near:
        seconds *= median(run.seconds / run.modelled_seconds for run in near)
        memory *= median(run.memory_mb / run.modelled_mb for run in near)
    return Estimate(steps, tokens, round(seconds, 1), round(memory), _basis(kind, near))


def _basis(kind: str, near: Sequence[Past]) -> str:
    if not near:
        return "a rough model of two processor cores; no run of this kind has finished here yet"
    runs = f"{len(near)} finished {kind} run{'s' if len(near) > 1 else ''} here"
    return f"{runs}, {'on this base' if near[0].same_base else 'on other bases'}"


def compare(expected: dict[str, Any], result: dict[str, Any]) -> list[dict[str, Any]]:
    """Expected against what happened: [{"name", "expected", "happened", "ratio"}], for what both know."""
    happened = {
        "steps": result.get("steps"),
        "tokens": result.get("tokens"),
        "seconds": result.get("seconds"),
        "memory_mb": result.get("peak_memory_mb"),
    }
    return [
        {"name": name, "expected": expected[name], "happened": value, "ratio": round(value / expected[name], 2)}
        for name, value in happened.items()
        if value and expected.get(name)
    ]
