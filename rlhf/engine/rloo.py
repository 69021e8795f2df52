"""REINFORCE leave-one-out (Ahmadian et al. 2024): the baseline is the mean of the other answers."""

from __future__ import annotations

from trl import RLOOConfig, RLOOTrainer

from rlhf.engine.job import Outcome
from rlhf.engine.policy_gradient import train
from rlhf.engine.run_dir import RunDir
from rlhf.engine.training import Planned
from rlhf.spec import Spec


class QuietRLOOTrainer(RLOOTrainer):
    """TRL's trainer without a model card."""

    create_model_card = Planned.create_model_card


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """out/ is the adapter chain with one more link."""
    return train(run_dir, spec, QuietRLOOTrainer, RLOOConfig)
