"""Settings of a training that nobody named, by the size of model and data, each with the reason for it.

The rules behind them: at least sixty optimizer steps (500 pairs at batch 128 are four steps, and nothing happens);
the batch grows with the data; a LoRA's learning rate is about ten times that of full fine-tuning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .spec import REWARDED_KINDS

FEWEST_STEPS, MOST_STEPS = 60, 2000
Reasons = dict[str, tuple[Any, str]]  # field -> (value, why)


@dataclass(frozen=True)
class Size:
    """A class of models: LoRA and full learning rates by kind, and what a step may hold."""

    name: str
    below: float  # parameters
    lora: int
    alpha: int
    rates: dict[str, float]
    full_rate: float
    beta: float
    largest_batch: int
    length: int


SIZES = (
    Size("a toy", 20e6, 16, 32,
         {"dpo": 1e-3, "kto": 1e-3, "sft": 1e-3, "rloo": 2e-4, "grpo": 2e-4, "reward": 1e-3}, 3e-4, 0.1, 64, 256),
    Size("a small model", 300e6, 16, 32,
         {"dpo": 1e-4, "kto": 1e-4, "sft": 2e-4, "rloo": 5e-5, "grpo": 5e-5, "reward": 1e-4}, 1e-5, 0.1, 32, 512),
    Size("about half a billion parameters", 1e9, 32, 16,
         {"dpo": 5e-6, "kto": 5e-6, "sft": 2e-4, "rloo": 5e-6, "grpo": 5e-6, "reward": 1e-4}, 1e-5, 0.1, 64, 1024),
    Size("a billion parameters and more", math.inf, 32, 16,
         {"dpo": 5e-6, "kto": 5e-6, "sft": 1e-4, "rloo": 1e-5, "grpo": 1e-5, "reward": 5e-5}, 5e-6, 0.1, 128, 2048),
)  # fmt: skip


def size_of(parameters: int | None) -> Size:
    """The class of a model; one that is not here yet counts as small."""
    return next(size for size in SIZES if (parameters or 135e6) < size.below)


def preset(kind: str, config: dict[str, Any], *, parameters: int | None, rows: int, context: int = 1 << 17) -> Reasons:
    """What a training gets for every field that `config` leaves out; {} for kinds that do not train by steps.

    rows: pairs, answers or prompts to learn from.
    """
    method = config.get("method", "head")
    if kind == "reward" and method == "head":
        return {}
    if kind not in SIZES[0].rates:
        return {}
    size = size_of(parameters)
    found = _rate(kind, method, size) | _room(kind, config, rows, size, context)
    if kind in ("dpo", "kto"):
        found["beta"] = (size.beta, "how closely the reference is kept; .1 is what the DPO paper and most since use")
    if kind in REWARDED_KINDS:
        found["beta"] = (0.03, "a little KL keeps the policy where its reward model has seen answers")
    return {name: value for name, value in found.items() if name not in config}


def _rate(kind: str, method: str, size: Size) -> Reasons:
    if method == "full":
        return {"lr": (size.full_rate, f"full fine-tuning of {size.name}; a LoRA would take about ten times that")}
    return {
        "lr": (size.rates[kind], f"a LoRA on {size.name}; about ten times what full fine-tuning takes"),
        "lora_r": (size.lora, f"enough for {size.name}; more costs memory and rarely helps"),
        "lora_alpha": (size.alpha, "the scale that the learning rate was chosen with"),
    }


def _room(kind: str, config: dict[str, Any], rows: int, size: Size, context: int) -> Reasons:
    group = config.get("num_generations", 4) if kind in REWARDED_KINDS else 1
    batch, why = _batch(rows, group, size)
    batch, why = (config["batch_size"], "") if "batch_size" in config else (batch, why)
    a_pass = math.ceil(rows * group / batch)
    steps = min(max(FEWEST_STEPS, a_pass), MOST_STEPS)
    why_steps = f"one pass over {rows} rows at batch {batch} is {a_pass} steps; fewer than {FEWEST_STEPS} move nothing"
    steps_used = config.get("max_steps", steps)
    length = min(size.length, context)
    found: Reasons = {
        "batch_size": (batch, why),
        "max_steps": (steps, why_steps),
        "warmup_steps": (max(1, steps_used // 12), "a twelfth of the steps"),
        "save_steps": (min(100, max(20, steps_used // 10)), "at most so many steps are lost when a machine dies"),
        "max_length": (
            length,
            f"tokens of prompt and answer: what {size.name} is usually asked for, within its context",
        ),
    }
    return found


def _batch(rows: int, group: int, size: Size) -> tuple[int, str]:
    """The largest power of two that still gives sixty steps, between 4 rows and what the size allows."""
    wanted = 2 ** int(math.log2(max(1, rows // FEWEST_STEPS)))
    batch = min(max(4, wanted), size.largest_batch)
    if group > 1:
        return group * max(2, batch // 4), f"{max(2, batch // 4)} prompts a step, {group} answers each"
    return batch, f"grows with the data: {rows} rows give at least {FEWEST_STEPS} steps up to batch {max(1, wanted)}"
