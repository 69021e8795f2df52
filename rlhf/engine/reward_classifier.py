"""A reward model by TRL's RewardTrainer: the base with one output, all of it trained or a LoRA on it.

Cross-fitting would cost a training a fold, so a share of the prompt groups is held out instead: the figures are of
those, and the model has not learnt from them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.special import expit
from trl import RewardConfig as TrainerConfig

from feedback.stats.estimates import accuracy
from rlhf.engine import training
from rlhf.engine.chat import answer_ids
from rlhf.engine.classifiers import ABOUT, ADAPTER, MODEL, load_classifier, score_ids
from rlhf.engine.job import Outcome
from rlhf.engine.policies import base_digest, load_tokenizer
from rlhf.engine.preference_plan import plan, tokens_by_step
from rlhf.engine.preference_rows import PreferenceRows, read_preferences, read_table, to_preferences
from rlhf.engine.reward_figures import Predictions, estimate_json, reward_figures, write_predictions
from rlhf.engine.reward_trainer import SoftRewardTrainer, WeightedPairs
from rlhf.engine.run_dir import RunDir, UserError
from rlhf.spec import RewardConfig, Spec


@dataclass
class Encoded:
    """Pairs as token ids, and how many of each kind were not used for training."""

    rows: list[dict[str, Any]]
    dropped: int  # longer than max_length: without its end an answer cannot be judged

    def tokens(self) -> list[int]:
        """Tokens that are read of each pair."""
        return [len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in self.rows]


def train(run_dir: RunDir, spec: Spec) -> Outcome:
    """out/ is reward.json, predictions.parquet, and adapter/ (lora) or model/ (full)."""
    config: RewardConfig = spec.config
    base = run_dir.input("base")
    tokenizer = load_tokenizer(base)
    rows = read_preferences(run_dir.input("dataset"))
    held = held_out(rows, config.holdout, spec.seed)
    encoded = encode(rows.pick(~held), tokenizer, config.max_length)
    order = plan([max(map(len, _sides(row))) for row in encoded.rows], config.max_steps, config.batch_size, spec.seed)
    tokens = tokens_by_step(encoded.tokens(), order, config.batch_size)
    torch.manual_seed(spec.seed)  # the new output layer
    trainer = SoftRewardTrainer(
        model=load_classifier(base, tokenizer, config.precision),
        args=TrainerConfig(**training.arguments(run_dir, config, spec.seed), max_length=config.max_length),
        data_collator=WeightedPairs(pad_token_id=tokenizer.pad_token_id),
        train_dataset=Dataset.from_list([encoded.rows[number] for number in order]),
        processing_class=tokenizer,
        peft_config=training.lora(config, "SEQ_CLS", modules_to_save=["score"]) if config.method == "lora" else None,
        callbacks=[training.Reporter(run_dir, config, tokens)],
    )
    training.carry_out(run_dir, trainer, config)
    judge = Judge(run_dir, trainer, tokenizer, config)
    figures = judge.figures(rows.pick(held))
    figures |= training.tail_figures(run_dir, "accuracy", "length") | {"method": config.method}
    judge.publish(rows.pick(held), figures, base)
    counts = {"pairs": len(rows), "held_out": int(held.sum()), "dropped": encoded.dropped, "used": len(set(order))}
    return Outcome(figures, counts, tokens[-1], config.max_steps, training.processes())


def held_out(rows: PreferenceRows, share: float, seed: int) -> np.ndarray:
    """(n,) mask of at least `share` of the rows, by whole prompt groups: those with control pairs come first.

    UserError when a split would leave nothing on one side.
    """
    names = sorted(set(rows.group.tolist()))
    control = set(rows.group[rows.arm == "control"].tolist())
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = sorted((names[i] for i in shuffled), key=lambda name: name not in control)
    held = np.zeros(len(rows), dtype=bool)
    for name in order[:-1]:
        if held.sum() >= share * len(rows):
            break
        held |= rows.group == name
    if not held.any():
        message = f"all {len(rows)} rows belong to one prompt group: none can be held out"
        raise UserError("too_few_rows", message, "inputs/dataset")
    return held


def encode(rows: PreferenceRows, tokenizer: Any, max_length: int) -> Encoded:
    """Rows {"chosen_ids", "rejected_ids", "target", "margin", "weight"}; weights get a mean of 1."""
    kept: list[dict[str, Any]] = []
    dropped = 0
    for number in range(len(rows)):
        sides = [answer_ids(tokenizer, *rows.chosen[number]), answer_ids(tokenizer, *rows.rejected[number])]
        if max(map(len, sides)) > max_length:
            dropped += 1
            continue
        numbers = {"target": rows.target, "margin": rows.margin, "weight": rows.weight}
        kept.append(
            {"chosen_ids": sides[0], "rejected_ids": sides[1]}
            | {name: float(values[number]) for name, values in numbers.items()}
        )
    if len(kept) < 2:
        message = f"{len(kept)} pairs are left to train on ({dropped} longer than {max_length} tokens)"
        raise UserError("too_few_rows", message, "config.max_length" if dropped else "inputs/dataset")
    total = sum(row["weight"] for row in kept)
    for row in kept:
        row["weight"] *= len(kept) / total
    return Encoded(kept, dropped)


def _sides(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    return row["chosen_ids"], row["rejected_ids"]


@dataclass
class Judge:
    """The trained model, measured and published."""

    run_dir: RunDir
    trainer: SoftRewardTrainer
    tokenizer: Any
    config: RewardConfig

    def figures(self, held: PreferenceRows) -> dict[str, object]:
        """Of the held-out groups, and accuracy on the dataset's dev pairs where it has some."""
        self.found = Predictions.of_one(self._predict(held))
        groups = len(set(held.group.tolist()))
        figures = reward_figures(held, self.found.probability)
        figures["held_out"] = f"{len(held)} pairs of {groups} prompt groups that it never saw"
        path = self.run_dir.input("dataset") / "test.parquet"
        dev = to_preferences(read_table(path)) if path.exists() else None
        if dev is not None and len(dev):
            figures["dev_accuracy"] = estimate_json(accuracy(self._predict(dev), dev.target, dev.group))
        return figures

    def _predict(self, rows: PreferenceRows) -> np.ndarray:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model).eval()
        ids = [answer_ids(self.tokenizer, *text)[-self.config.max_length :] for text in rows.chosen + rows.rejected]
        rewards = score_ids(self.run_dir, model, ids, self.tokenizer.pad_token_id, 2 * self.config.batch_size)
        probabilities: np.ndarray = expit(np.subtract(*np.split(rewards, 2)))
        return probabilities

    def publish(self, held: PreferenceRows, figures: dict[str, object], base: Path) -> None:
        """Weights, what they are, and the table of held-out predictions."""
        about = {
            "method": self.config.method,
            "base": base_digest(base),
            "max_length": self.config.max_length,
            "calibration_slope": figures["calibration_slope"],
        }
        with self.run_dir.publishing() as out:
            if self.config.method == "lora":
                training.save_adapter(self.trainer, out / ADAPTER)
            else:
                self.trainer.save_model(str(out / MODEL))
                for name in ("training_args.bin", "README.md"):
                    (out / MODEL / name).unlink(missing_ok=True)
            (out / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True))
            write_predictions(held, self.found, out)
