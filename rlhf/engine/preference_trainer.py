"""TRL's DPOTrainer with soft targets and weights, and log-probabilities of the answers' tokens only.

A target t < 1 is conservative DPO, t = 1/2 a tie; see `loss_of` for the losses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy, logsigmoid
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.engine.training import Planned
from rlhf.spec import DpoConfig

EXTRAS = ("target", "weight")
COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids", "ref_chosen_logps", "ref_rejected_logps", *EXTRAS)


def add_answer_head(model: Any) -> None:
    """Let `model(..., completion_mask=m)` return (batch,) log-probabilities of the tokens that m marks.

    The vocabulary is met for those tokens alone, on a flattened hidden state (a slice in three dimensions would
    copy the head's weights). It patches `forward`, so that wrappers (LoRA, DDP, FSDP) keep working.
    """
    plain = model.forward

    @functools.wraps(type(model).forward)
    def forward(*args: Any, completion_mask: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if completion_mask is None:
            return plain(*args, **kwargs)
        kwargs["use_cache"] = False
        hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        wanted = completion_mask[:, 1:].bool()
        logits = model.get_output_embeddings()(hidden[wanted]).float()
        log_probs = -cross_entropy(logits, kwargs["input_ids"][:, 1:][wanted], reduction="none")
        return log_probs.new_zeros(len(wanted)).index_add(0, wanted.nonzero()[:, 0], log_probs)

    model.forward = forward


class Weighted:
    """For TRL's preference collators: `target` and `weight` are carried along when the rows have them."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)  # type: ignore[misc]
        for name in EXTRAS:
            if name in examples[0]:
                batch[name] = torch.tensor([row[name] for row in examples])
        return batch


class WeightedPairs(Weighted, DataCollatorForPreference):
    """TRL's padding of DPO's pairs, with targets and weights."""


def pair_log_probs(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(2, pairs) log-probabilities of the chosen and the rejected answers."""
    where = model.device
    names = ("input_ids", "attention_mask", "completion_mask")
    log_probs: torch.Tensor = model(**{name: batch[name].to(where) for name in names})
    return log_probs.reshape(2, -1)


class SoftDPOTrainer(Planned, DPOTrainer):
    """Rows are tokenised, planned and given their reference log-probabilities beforehand; order is kept."""

    columns = COLUMNS

    def __init__(self, *args: Any, loss: Loss, **kwargs: Any) -> None:
        self.loss = loss
        super().__init__(*args, **kwargs)

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> Any:
        chosen, rejected = pair_log_probs(model, inputs)
        ratios = torch.stack([chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"]])
        loss = (inputs["weight"] * self.loss(ratios, inputs)).mean()
        rewards = self.beta * ratios
        margin = rewards[0] - rewards[1]
        self.note(reward_chosen=rewards[0], reward_rejected=rewards[1], margin=margin, accuracy=(margin.sign() + 1) / 2)
        return (loss, {}) if return_outputs else loss


Loss = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]


def loss_of(config: DpoConfig) -> Loss:
    """(pairs,) losses from (2, pairs) log ratios pi/ref of chosen and rejected, and the batch with its targets.

    With target t a pair costs t times the loss of "chosen is better" plus (1 - t) times that of the reverse:

        sigmoid  -log sigmoid(m), m = beta (ratio chosen - ratio rejected)               Rafailov et al. 2023
        robust   (-(1 - e) log sigmoid(m) + e log sigmoid(-m)) / (1 - 2e)                Chowdhury et al. 2024
        ipo      (h - 1 / (2 beta))^2, h = difference of the ratios per token            Azar et al. 2023
    """
    return {"sigmoid": _sigmoid, "robust": _robust, "ipo": _ipo}[config.loss](config)


def _sigmoid(config: DpoConfig) -> Loss:
    def loss(ratios: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        margin, target = config.beta * (ratios[0] - ratios[1]), batch["target"]
        return -(target * logsigmoid(margin) + (1 - target) * logsigmoid(-margin))

    return loss


def _robust(config: DpoConfig) -> Loss:
    flipped = config.label_smoothing

    def one(margin: torch.Tensor) -> torch.Tensor:
        return (-(1 - flipped) * logsigmoid(margin) + flipped * logsigmoid(-margin)) / (1 - 2 * flipped)

    def loss(ratios: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        margin, target = config.beta * (ratios[0] - ratios[1]), batch["target"]
        return target * one(margin) + (1 - target) * one(-margin)

    return loss


def _ipo(config: DpoConfig) -> Loss:
    wanted = 1 / (2 * config.beta)

    def loss(ratios: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        tokens = batch["completion_mask"].sum(1).clamp(min=1).reshape(2, -1)
        h, target = ratios[0] / tokens[0] - ratios[1] / tokens[1], batch["target"]
        return target * (h - wanted) ** 2 + (1 - target) * (h + wanted) ** 2

    return loss
