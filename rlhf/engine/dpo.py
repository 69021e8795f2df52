"""A policy update by direct preference optimisation: TRL, a fresh LoRA on all linear layers, resumable.

The reference is the policy that starts: the base with its adapter chain merged. The result is that chain with one
more link.
"""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOConfig as TrainerConfig

from rlhf.engine import training
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.preference_plan import Pairs, plan, read_pairs, tokens_by_step
from rlhf.engine.preference_trainer import SoftDPOTrainer, WeightedPairs, add_answer_head, loss_of, pair_log_probs
from rlhf.engine.reference import reference
from rlhf.engine.run_dir import RunDir
from rlhf.engine.sample_answers import SampleAnswers, answers
from rlhf.spec import DpoConfig, Spec


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Train, or go on from the last whole checkpoint; out/ is the adapter chain `0/`, `1/`, ..."""
    config: DpoConfig = spec.config
    base, chain = run_dir.input("base"), run_dir.optional_input("adapter")
    tokenizer = load_tokenizer(base)
    pairs = read_pairs(run_dir.input("pairs.jsonl"), tokenizer, config.system_prompt, config.max_length)
    order = plan(pairs.lengths(), config.max_steps, config.batch_size, spec.seed)
    tokens = tokens_by_step(pairs.tokens(config.max_length), order, config.batch_size)
    model = load_policy(base, chain, config.precision)
    add_answer_head(model)
    collator = WeightedPairs(pad_token_id=tokenizer.pad_token_id, max_length=config.max_length)
    known = _reference(run_dir, model, pairs, sorted(set(order)), collator)
    trainer = SoftDPOTrainer(
        model=model,
        args=TrainerConfig(
            **training.arguments(run_dir, config, spec.seed), beta=config.beta, max_length=config.max_length
        ),
        loss=loss_of(config),
        data_collator=collator,
        train_dataset=_dataset(pairs, order, known),
        processing_class=tokenizer,
        peft_config=training.lora(config),
        callbacks=[training.Reporter(run_dir, config, tokens), SampleAnswers(run_dir, config, tokenizer)],
    )
    training.carry_out(run_dir, trainer, config)
    training.publish_adapter(run_dir, trainer, chain)
    figures = training.tail_figures(run_dir) | {"passes": round(len(order) / len(pairs.rows), 3)}
    rows = {"pairs": len(pairs.rows), "dropped": pairs.dropped, "truncated": pairs.truncated}
    return Outcome(
        figures, rows | {"used": len(set(order))}, tokens[-1], config.max_steps, training.processes(), answers(run_dir)
    )


def _reference(
    run_dir: RunDir, model: Any, pairs: Pairs, rows: list[int], collator: WeightedPairs
) -> dict[int, tuple[float, float]]:
    """Log-probabilities of (chosen, rejected) under the starting policy for the given rows, kept in a file."""
    lengths = pairs.lengths()

    def log_probs(some: list[int]) -> list[list[float]]:
        found: list[list[float]] = pair_log_probs(model, collator([pairs.rows[row] for row in some])).T.tolist()
        return found

    rows = sorted(rows, key=lambda row: lengths[row])
    found = reference(run_dir, rows, log_probs)
    return {row: (chosen, rejected) for row, (chosen, rejected) in zip(rows, found, strict=True)}


def _dataset(pairs: Pairs, order: list[int], reference: dict[int, tuple[float, float]]) -> Dataset:
    rows = []
    for number in order:
        chosen, rejected = reference[number]
        rows.append(pairs.rows[number] | {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected})
    return Dataset.from_list(rows)
