"""TRL's DPOTrainer with soft targets and weights, and log-probabilities of the answers' tokens only.

Loss of a pair (Rafailov et al. 2023, with a target t as in conservative DPO, and a weight w):

    m = beta ((log pi(a) - log ref(a)) - (log pi(b) - log ref(b)))
    l = - w (t log sigmoid(m) + (1 - t) log sigmoid(-m))
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy, logsigmoid
from torch.utils.data import SequentialSampler
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from rlhf.engine.run_dir import UserError

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


class WeightedPairs(DataCollatorForPreference):
    """TRL's padding, with `target` and `weight` carried along when the rows have them."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        for name in EXTRAS:
            if name in examples[0]:
                batch[name] = torch.tensor([row[name] for row in examples])
        return batch


def pair_log_probs(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(2, pairs) log-probabilities of the chosen and the rejected answers."""
    where = model.device
    names = ("input_ids", "attention_mask", "completion_mask")
    log_probs: torch.Tensor = model(**{name: batch[name].to(where) for name in names})
    return log_probs.reshape(2, -1)


class SoftDPOTrainer(DPOTrainer):
    """Rows are tokenised, planned and given their reference log-probabilities beforehand; order is kept."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(COLUMNS)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: it would carry paths of this machine."""

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> Any:
        chosen, rejected = pair_log_probs(model, inputs)
        rewards = self.beta * torch.stack(
            [chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"]]
        )
        margin = rewards[0] - rewards[1]
        target, weight = inputs["target"], inputs["weight"]
        losses = -weight * (target * logsigmoid(margin) + (1 - target) * logsigmoid(-margin))
        loss = losses.mean()
        if not torch.isfinite(loss):
            raise UserError("diverged", "the loss is no longer a number: a lower rate may help", "config.lr")
        self._note(rewards.detach(), margin.detach())
        return (loss, {}) if return_outputs else loss

    def _note(self, rewards: torch.Tensor, margin: torch.Tensor) -> None:
        noted = self._metrics["train" if self.model.training else "eval"]
        noted["reward_chosen"].append(rewards[0].mean().item())
        noted["reward_rejected"].append(rewards[1].mean().item())
        noted["margin"].append(margin.mean().item())
        noted["accuracy"].append(((margin.sign() + 1) / 2).mean().item())
