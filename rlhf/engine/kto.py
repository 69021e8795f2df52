"""Kahneman-Tversky optimisation on single answers called good or bad: TRL's KTOTrainer, resumable.

With r = log pi(y|x) - log ref(y|x) and z the KL to the reference, estimated on answers paired with other prompts of
their batch (Ethayarajh et al. 2024, eq. 7):

    good: w_good (1 - sigmoid(beta (r - z)))        bad: w_bad (1 - sigmoid(beta (z - r)))
"""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from trl import KTOConfig as TrainerConfig
from trl import KTOTrainer
from trl.trainer.utils import pad

from rlhf.engine import training
from rlhf.engine.answer_plan import Answers, read_answers
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.preference_plan import plan, tokens_by_step
from rlhf.engine.preference_trainer import add_answer_head
from rlhf.engine.reference import reference
from rlhf.engine.run_dir import RunDir
from rlhf.engine.sample_answers import SampleAnswers, answers
from rlhf.spec import KtoConfig, Spec

Key = list[int]  # [row of the prompt, row of the answer]
COLUMNS = ("prompt_ids", "completion_ids", "KL_completion_ids", "label", "weight", "ref_logps", "ref_KL_logps")


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Train, or go on from the last whole checkpoint; out/ is the adapter chain with one more link."""
    config: KtoConfig = spec.config
    base, chain = run_dir.input("base"), run_dir.optional_input("adapter")
    tokenizer = load_tokenizer(base)
    judged = read_answers(run_dir.input("answers.jsonl"), tokenizer, config.system_prompt, config.max_length)
    # Shuffled, which TRL leaves out; not bucketed by length, which would part the good answers from the bad.
    order = plan([0] * len(judged.rows), config.max_steps, config.batch_size, spec.seed)
    tokens = tokens_by_step(judged.lengths(), order, config.batch_size)
    model = load_policy(base, chain, config.precision)
    add_answer_head(model)
    collator = Collator(tokenizer.pad_token_id, config.max_length)
    trainer = WeightedKTOTrainer(
        model=model,
        args=TrainerConfig(
            **training.arguments(run_dir, config, spec.seed),
            beta=config.beta,
            max_length=config.max_length,
            desirable_weight=config.desirable_weight,
            undesirable_weight=config.undesirable_weight,
        ),
        data_collator=collator,
        train_dataset=_dataset(run_dir, model, judged, order, config.batch_size, collator),
        processing_class=tokenizer,
        peft_config=training.lora(config),
        callbacks=[training.Reporter(run_dir, config, tokens), SampleAnswers(run_dir, config, tokenizer)],
    )
    training.carry_out(run_dir, trainer, config)
    training.publish_adapter(run_dir, trainer, chain)
    figures = training.tail_figures(run_dir) | {"passes": round(len(order) / len(judged.rows), 3)}
    good = sum(row["label"] for row in judged.rows)
    rows = {"answers": len(judged.rows), "good": good, "dropped": judged.dropped, "truncated": judged.truncated}
    rows["used"] = len(set(order))
    return Outcome(figures, rows, tokens[-1], config.max_steps, training.processes(), answers(run_dir))


def other_answers(order: list[int], batch_size: int) -> list[int]:
    """For each place of the plan the row whose answer is read with its prompt for the KL: its neighbour's."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [row for batch in batches for row in [batch[-1], *batch[:-1]]]


class Collator:
    """Pads prompts with their own answers, and with other prompts' answers, to two sets of tensors."""

    def __init__(self, pad_id: int, max_length: int) -> None:
        self.pad_id, self.max_length = pad_id, max_length

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """{"input_ids", "attention_mask", "completion_mask"}, the same with KL_, and the columns of numbers."""
        batch = self.pad([(row["prompt_ids"], row["completion_ids"]) for row in rows])
        other = self.pad([(row["prompt_ids"], row["KL_completion_ids"]) for row in rows])
        numbers = {
            name: torch.tensor([row[name] for row in rows]) for name in ("label", "weight", "ref_logps", "ref_KL_logps")
        }
        return batch | {f"KL_{name}": value for name, value in other.items()} | numbers

    def pad(self, pairs: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
        """(rows, longest) tensors of (prompt, answer) pairs, each cut to `max_length`."""
        ids = [torch.tensor((prompt + answer)[: self.max_length]) for prompt, answer in pairs]
        masks = [torch.tensor(([0] * len(prompt) + [1] * len(answer))[: self.max_length]) for prompt, answer in pairs]
        return {
            "input_ids": pad(ids, padding_value=self.pad_id),
            "attention_mask": pad([torch.ones_like(row) for row in ids], padding_value=0),
            "completion_mask": pad(masks, padding_value=0),
        }


def _dataset(
    run_dir: RunDir, model: Any, judged: Answers, order: list[int], batch_size: int, collator: Collator
) -> Dataset:
    """A row for each place of the plan, with log-probabilities under the policy that starts."""
    other = other_answers(order, batch_size)
    lengths = judged.lengths()
    wanted = {(row, row) for row in order} | set(zip(order, other, strict=True))
    keys: list[Key] = sorted([list(key) for key in wanted], key=lambda key: (lengths[key[0]] + lengths[key[1]], key))

    def log_probs(some: list[Key]) -> list[list[float]]:
        batch = collator.pad([(judged.rows[p]["prompt_ids"], judged.rows[a]["completion_ids"]) for p, a in some])
        found: list[float] = model(**{name: value.to(model.device) for name, value in batch.items()}).tolist()
        return [[value] for value in found]

    known = {tuple(key): value for key, [value] in zip(keys, reference(run_dir, keys, log_probs), strict=True)}
    return Dataset.from_list(
        [
            judged.rows[row]
            | {
                "KL_completion_ids": judged.rows[another]["completion_ids"],
                "ref_logps": known[row, row],
                "ref_KL_logps": known[row, another],
            }
            for row, another in zip(order, other, strict=True)
        ]
    )


class WeightedKTOTrainer(training.Planned, KTOTrainer):
    """TRL's KTO with a weight for each row and cached reference log-probabilities."""

    columns = COLUMNS

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool) -> Any:
        ratio = self._log_probs(model, inputs, "") - inputs["ref_logps"]
        with torch.no_grad():
            drift = (self._log_probs(model, inputs, "KL_") - inputs["ref_KL_logps"]).mean()
            kl = self.accelerator.gather(drift[None]).mean().clamp(min=0)
        good = inputs["label"].bool()
        losses = torch.where(
            good,
            self.desirable_weight * (1 - torch.sigmoid(self.beta * (ratio - kl))),
            self.undesirable_weight * (1 - torch.sigmoid(self.beta * (kl - ratio))),
        )
        loss = (inputs["weight"] * losses).mean()
        self._report(self.beta * ratio.detach(), good, kl)
        return (loss, {}) if return_outputs else loss

    def _log_probs(self, model: Any, batch: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
        names = ("input_ids", "attention_mask", "completion_mask")
        found: torch.Tensor = model(**{name: batch[prefix + name].to(model.device) for name in names})
        return found

    def _report(self, rewards: torch.Tensor, good: torch.Tensor, kl: torch.Tensor) -> None:
        """Rewards of good and bad answers apart, over all processes; a side that a batch lacks is left out."""
        rewards, good = self.accelerator.gather(rewards), self.accelerator.gather(good)
        noted = self._metrics["train" if self.model.training else "eval"]
        noted["kl"].append(kl.item())
        if good.any():
            noted["reward_chosen"].append(rewards[good].mean().item())
        if (~good).any():
            noted["reward_rejected"].append(rewards[~good].mean().item())
        if good.any() and (~good).any():
            noted["margin"].append((rewards[good].mean() - rewards[~good].mean()).item())
