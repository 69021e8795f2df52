"""Supervised fine-tuning on good answers: TRL's SFTTrainer, the tokens of the answers alone, resumable."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import SFTConfig as TrainerConfig
from trl import SFTTrainer

from rlhf.engine import training
from rlhf.engine.answer_plan import read_answers
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.preference_plan import plan, tokens_by_step
from rlhf.engine.run_dir import RunDir
from rlhf.engine.sample_answers import SampleAnswers, answers
from rlhf.spec import SftConfig, Spec


class PlannedSFTTrainer(training.Planned, SFTTrainer):
    """TRL's loss over rows that are tokenised and in order."""

    columns = ("input_ids", "labels")


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Train, or go on from the last whole checkpoint; out/ is the adapter chain with one more link."""
    config: SftConfig = spec.config
    base, chain = run_dir.input("base"), run_dir.optional_input("adapter")
    tokenizer = load_tokenizer(base)
    good = read_answers(run_dir.input("answers.jsonl"), tokenizer, config.system_prompt, config.max_length)
    order = plan(good.lengths(), config.max_steps, config.batch_size, spec.seed)
    tokens = tokens_by_step(good.lengths(), order, config.batch_size)
    trainer = PlannedSFTTrainer(
        model=load_policy(base, chain, config.precision),
        args=TrainerConfig(**training.arguments(run_dir, config, spec.seed), max_length=config.max_length),
        train_dataset=Dataset.from_list([_row(good.rows[number]) for number in order]),
        processing_class=tokenizer,
        peft_config=training.lora(config),
        callbacks=[training.Reporter(run_dir, config, tokens), SampleAnswers(run_dir, config, tokenizer)],
    )
    training.carry_out(run_dir, trainer, config)
    training.publish_adapter(run_dir, trainer, chain)
    figures = training.tail_figures(run_dir) | {"passes": round(len(order) / len(good.rows), 3)}
    rows = {"answers": len(good.rows), "dropped": good.dropped, "truncated": good.truncated, "used": len(set(order))}
    return Outcome(figures, rows, tokens[-1], config.max_steps, training.processes(), answers(run_dir))


def _row(row: dict[str, Any]) -> dict[str, list[int]]:
    ids = row["prompt_ids"] + row["completion_ids"]
    return {"input_ids": ids, "labels": [-100] * len(row["prompt_ids"]) + row["completion_ids"]}
