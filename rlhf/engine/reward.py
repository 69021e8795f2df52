"""A reward model from a frozen dataset, by the method that the config names."""

from __future__ import annotations

from rlhf.engine.job import Outcome
from rlhf.engine.run_dir import RunDir
from rlhf.spec import RewardConfig, Spec


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """An ensemble head on frozen features, or a sequence classifier (LoRA or all weights)."""
    config: RewardConfig = spec.config
    if config.method == "head":
        from rlhf.engine.reward_head import fit

        return fit(run_dir, spec)
    from rlhf.engine.reward_classifier import train

    return train(run_dir, spec)
