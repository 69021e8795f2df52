"""A policy update by direct preference optimisation: TRL, a fresh LoRA on all linear layers, resumable.

The reference is the policy that starts: the base with its adapter chain merged. The result is that chain with one
more link.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig as TrainerConfig

from rlhf.engine.job import Outcome
from rlhf.engine.policies import chain_links, load_policy, load_tokenizer
from rlhf.engine.preference_plan import Pairs, plan, read_pairs
from rlhf.engine.preference_trainer import SoftDPOTrainer, WeightedPairs, add_answer_head, pair_log_probs
from rlhf.engine.run_dir import RunDir, Stopped, UserError, read_lines
from rlhf.spec import DpoConfig, Spec

REFERENCE_BATCH = 8  # pairs
TAIL = 10  # steps averaged for the final figures


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Train, or go on from the last whole checkpoint; out/ is the adapter chain `0/`, `1/`, ..."""
    config: DpoConfig = spec.config
    base, chain = run_dir.input("base"), run_dir.optional_input("adapter")
    tokenizer = load_tokenizer(base)
    pairs = read_pairs(run_dir.input("pairs.jsonl"), tokenizer, config.system_prompt, config.max_length)
    order = plan(pairs.lengths(), config.max_steps, config.batch_size, spec.seed)
    model = load_policy(base, chain, config.precision)
    add_answer_head(model)
    collator = WeightedPairs(pad_token_id=tokenizer.pad_token_id, max_length=config.max_length)
    reference = _reference(run_dir, model, pairs, sorted(set(order)), collator)
    trainer = SoftDPOTrainer(
        model=model,
        args=_arguments(run_dir, config, spec.seed),
        data_collator=collator,
        train_dataset=_dataset(pairs, order, reference),
        processing_class=tokenizer,
        peft_config=_lora(config),
        callbacks=[Reporter(run_dir, config.max_steps)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(run_dir.checkpoints))
    if trainer.state.global_step < config.max_steps:
        raise Stopped
    _publish(run_dir, trainer.model, chain)
    return _outcome(run_dir, pairs, order, config)


def _reference(
    run_dir: RunDir, model: Any, pairs: Pairs, rows: list[int], collator: WeightedPairs
) -> dict[int, tuple[float, float]]:
    """Log-probabilities of (chosen, rejected) under the starting policy for the given rows, kept in a file."""
    path = run_dir.checkpoints / "reference.jsonl"
    if path.exists():
        return {row: (chosen, rejected) for row, chosen, rejected in read_lines(path)}
    lengths = pairs.lengths()
    rows = sorted(rows, key=lambda row: lengths[row])
    found: list[tuple[int, float, float]] = []
    for start in range(0, len(rows), REFERENCE_BATCH):
        run_dir.check_stop()
        some = rows[start : start + REFERENCE_BATCH]
        with torch.inference_mode():
            log_probs = pair_log_probs(model, collator([pairs.rows[row] for row in some]))
        found += zip(some, *log_probs.tolist(), strict=True)
        run_dir.progress(min(start + REFERENCE_BATCH, len(rows)), len(rows), phase="reference")
    draft = path.with_suffix(".tmp")
    draft.write_text("".join(json.dumps(row) + "\n" for row in found))
    draft.replace(path)
    return {row: (chosen, rejected) for row, chosen, rejected in found}


def _dataset(pairs: Pairs, order: list[int], reference: dict[int, tuple[float, float]]) -> Dataset:
    rows = []
    for number in order:
        chosen, rejected = reference[number]
        rows.append(pairs.rows[number] | {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected})
    return Dataset.from_list(rows)


def _lora(config: DpoConfig) -> LoraConfig:
    return LoraConfig(r=config.lora_r, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def _arguments(run_dir: RunDir, config: DpoConfig, seed: int) -> TrainerConfig:
    return TrainerConfig(
        output_dir=str(run_dir.checkpoints),
        learning_rate=config.lr,
        beta=config.beta,
        per_device_train_batch_size=config.batch_size,
        max_steps=config.max_steps,
        warmup_steps=config.warmup_steps,
        max_length=config.max_length,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,  # the precision is the loaded model's; LoRA weights stay fp32
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
    )


def last_checkpoint(directory: Path) -> str | None:
    """The newest whole checkpoint. One without its state file, written last, was cut short and is removed."""
    steps = sorted(directory.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(steps):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return str(path)
        except (OSError, ValueError):
            shutil.rmtree(path)
    return None


class Reporter(TrainerCallback):
    """Progress to the run directory at each step, and an ear for the stop file."""

    NAMES = {"learning_rate": "lr", "grad_norm": "gradient_norm"}
    SHOWN = ("loss", "accuracy", "margin", "reward_chosen", "reward_rejected", "learning_rate", "grad_norm")

    def __init__(self, run_dir: RunDir, total: int) -> None:
        self.run_dir, self.total = run_dir, total

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop early, with a checkpoint, when asked to."""
        if self.run_dir.stop_requested():
            control.should_training_stop = control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """One line a step; the summary at the end of training carries no loss and is left out."""
        if "loss" not in logs:
            return
        metrics = {self.NAMES.get(k, k): round(float(logs[k]), 6) for k in self.SHOWN if k in logs}
        if not all(math.isfinite(value) for value in metrics.values()):
            raise UserError("diverged", "training left the numbers: a lower rate may help", "config.lr")
        self.run_dir.progress(state.global_step, self.total, metrics, phase="train")


def _publish(run_dir: RunDir, model: Any, chain: Path | None) -> None:
    """The chain so far, copied, and the new adapter as its last link; nothing in it names a path."""
    links = chain_links(chain)
    with run_dir.publishing() as out:
        for number, link in enumerate(links):
            shutil.copytree(link, out / str(number))
        model.peft_config["default"].base_model_name_or_path = ""
        model.save_pretrained(out / str(len(links)))
        (out / str(len(links)) / "README.md").unlink(missing_ok=True)


def _outcome(run_dir: RunDir, pairs: Pairs, order: list[int], config: DpoConfig) -> Outcome:
    """Figures are means over the last steps; the first step's margin is nought by construction."""
    lines = [line for line in read_lines(run_dir.path / "progress.jsonl") if line.get("phase") == "train"]
    steps = {line["step"]: line["metrics"] for line in lines}
    tail = [steps[step] for step in sorted(steps)[-TAIL:]]
    names = ("loss", "accuracy", "margin", "reward_chosen", "reward_rejected")
    figures: dict[str, object] = {name: round(float(np.mean([m[name] for m in tail])), 6) for name in names}
    figures |= {"steps": len(steps), "passes": round(len(order) / len(pairs.rows), 3)}
    rows = {"pairs": len(pairs.rows), "dropped": pairs.dropped, "truncated": pairs.truncated}
    rows["used"] = len(set(order))
    lengths = pairs.lengths()
    return Outcome(figures, rows, sum(2 * min(lengths[row], config.max_length) for row in order))
