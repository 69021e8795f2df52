"""TRL's RewardTrainer with margins, soft targets and a weight for each row.

d = r(chosen) - r(rejected)
l = - w (t log sigmoid(d - m) + (1 - t) log sigmoid(-d - m))
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from rlhf.engine.preference_trainer import EXTRAS, Weighted
from rlhf.engine.training import Planned


class WeightedPairs(Weighted, DataCollatorForPreference):
    """TRL's padding of reward pairs, with targets and weights."""


class SoftRewardTrainer(Planned, RewardTrainer):
    """Rows are tokenised and planned beforehand; order is kept."""

    columns = ("chosen_ids", "rejected_ids", "margin", *EXTRAS)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean weighted loss of the batch."""
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        difference, target, margin = chosen - rejected, inputs["target"], inputs["margin"]
        losses = -(target * logsigmoid(difference - margin) + (1 - target) * logsigmoid(-difference - margin))
        loss = (inputs["weight"] * losses).mean()
        right = (difference.sign() * (target - 0.5).sign() + 1) / 2
        self.note(reward_chosen=chosen, reward_rejected=rejected, margin=difference, accuracy=right)
        return (loss, outputs) if return_outputs else loss
