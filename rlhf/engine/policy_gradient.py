"""RLOO and GRPO by TRL: answers drawn while training, rewarded by a registered reward model, resumable."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from datasets import Dataset

from rlhf.engine import training
from rlhf.engine.chat import Messages, prompt_ids, with_system
from rlhf.engine.generate import context_length
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.run_dir import RunDir, UserError, read_rows
from rlhf.engine.sample_answers import SampleAnswers, answers
from rlhf.engine.scorers import load_scorer
from rlhf.spec import RlConfig, Spec

MEMBERS = 64  # posterior draws of a head


def train(run_dir: RunDir, spec: Spec, trainer_class: Any, trainer_config: Any) -> Outcome:
    """Train on inputs/prompts.jsonl, or go on from the last whole checkpoint; out/ is the longer adapter chain."""
    config: RlConfig = spec.config
    base, chain = run_dir.input("base"), run_dir.optional_input("adapter")
    tokenizer = load_tokenizer(base)
    tokenizer.padding_side = "left"
    prompts, dropped = _prompts(run_dir, tokenizer, config)
    trainer = trainer_class(
        model=load_policy(base, chain, config.precision),
        reward_funcs=[reward_function(run_dir, config)],
        args=trainer_config(
            **training.arguments(run_dir, config, spec.seed),
            beta=config.beta,
            num_generations=config.num_generations,
            max_completion_length=config.max_new_tokens,
            temperature=config.temperature,
        ),
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        peft_config=training.lora(config),
        callbacks=[training.Reporter(run_dir, config), SampleAnswers(run_dir, config, tokenizer)],
    )
    training.carry_out(run_dir, trainer, config)
    training.publish_adapter(run_dir, trainer, chain)
    tokens = int(training.steps_of(run_dir)[config.max_steps]["tokens"])
    rows = {"prompts": len(prompts), "dropped": dropped}
    return Outcome(
        training.tail_figures(run_dir), rows, tokens, config.max_steps, training.processes(), answers(run_dir)
    )


def _prompts(run_dir: RunDir, tokenizer: Any, config: RlConfig) -> tuple[list[dict[str, Any]], int]:
    """Rows {"prompt": as the policy reads it, "asked": JSON as the reward model reads it}, and how many found no
    room for an answer. UserError when too few are left for one batch."""
    room = min(context_length(run_dir.input("base")), config.max_length) - config.max_new_tokens
    rows, dropped = [], 0
    for row in read_rows(run_dir.input("prompts.jsonl"), ("messages",)):
        prompt = with_system(row["messages"], config.system_prompt)
        if len(prompt_ids(tokenizer, prompt)) > room:
            dropped += 1
        else:
            rows.append({"prompt": prompt, "asked": json.dumps(row["messages"])})
    needed = config.batch_size // config.num_generations
    if len(rows) < needed:
        message = f"{len(rows)} prompts are left ({dropped} too long); a batch takes {needed}"
        raise UserError("too_few_rows", message, "inputs/prompts.jsonl")
    return rows, dropped


def reward_function(run_dir: RunDir, config: RlConfig) -> Callable[..., list[float]]:
    """TRL's reward function: mean - penalty * sd of the reward model's members."""
    scorer = load_scorer(run_dir, batch_size=32)

    def reward(completions: list[Messages], asked: list[str], **_: Any) -> list[float]:
        texts = [(json.loads(messages), said[-1]["content"]) for messages, said in zip(asked, completions, strict=True)]
        draws = scorer.draws(texts, MEMBERS)
        worth: list[float] = (draws.mean(axis=1) - config.penalty * draws.std(axis=1)).tolist()
        return worth

    return reward
