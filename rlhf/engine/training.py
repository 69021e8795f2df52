"""What all trainings by TRL share: arguments, checkpoints, resuming, stopping, progress, one process or many."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from peft import LoraConfig
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from rlhf.engine.policies import chain_links
from rlhf.engine.run_dir import RunDir, Stopped, UserError, read_lines
from rlhf.spec import RlConfig, TrainingConfig

TAIL = 10  # steps averaged for the final figures
PACKAGES = {"comet_ml": "comet_ml", "tensorboard": "tensorboard"}  # where a reporter's package has another name
NAMES = {  # TRL's names for what is reported, and ours
    "loss": "loss",
    "accuracy": "accuracy",
    "margin": "margin",
    "rewards/margins": "margin",
    "reward_chosen": "reward_chosen",
    "rewards/chosen": "reward_chosen",
    "reward_rejected": "reward_rejected",
    "rewards/rejected": "reward_rejected",
    "kl": "kl",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_variance",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut_off",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
}


class Planned:
    """For TRL's trainers: rows are tokenised and put in order beforehand, and met in that order."""

    columns: tuple[str, ...] = ()

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(self.columns)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)  # type: ignore[attr-defined]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: it would carry paths of this machine."""

    def note(self, **figures: torch.Tensor) -> None:
        """Means over all processes of (batch,) or scalar figures, for the next line of progress."""
        means = torch.stack([value.detach().float().mean() for value in figures.values()])
        means = self.accelerator.gather(means[None]).mean(0)  # type: ignore[attr-defined]
        noted = self._metrics["train" if self.model.training else "eval"]  # type: ignore[attr-defined]
        for name, mean in zip(figures, means.tolist(), strict=True):
            noted[name].append(mean)


def processes() -> int:
    """How many processes share this job."""
    return int(_state().num_processes)


def wait_for_all() -> None:
    """Until every process of this job is here."""
    _state().wait_for_everyone()


def _state() -> PartialState:
    """Without `cpu` a machine that has no GPU would see one process where a launcher started two."""
    return PartialState(cpu=not torch.cuda.is_available())


def arguments(run_dir: RunDir, config: TrainingConfig, seed: int) -> dict[str, Any]:
    """Keyword arguments for any of TRL's config classes. UserError when the processes cannot share a batch."""
    _require_reporters(config.report_to)
    share, rest = divmod(config.batch_size, processes())
    if rest:
        message = f"{processes()} processes cannot share batches of {config.batch_size} rows evenly"
        raise UserError("bad_batch", message, "config.batch_size")
    return {
        "output_dir": str(run_dir.checkpoints),
        "learning_rate": config.lr,
        "per_device_train_batch_size": share,
        "max_steps": config.max_steps,
        "warmup_steps": config.warmup_steps,
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,  # the precision is the loaded model's; LoRA weights stay fp32
        "gradient_checkpointing": False,
        "report_to": list(config.report_to) or "none",
        "run_name": run_dir.path.name,
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
    }


def _require_reporters(names: Sequence[str]) -> None:
    for name in names:
        if importlib.util.find_spec(PACKAGES.get(name, name)) is None:
            raise UserError("missing_package", f"report_to names {name}, which is not installed", "config.report_to")


def lora(config: TrainingConfig, task: str = "CAUSAL_LM", **more: Any) -> LoraConfig:
    """A fresh adapter on every linear layer."""
    return LoraConfig(
        r=config.lora_r, lora_alpha=config.lora_alpha, target_modules="all-linear", task_type=task, **more
    )


def carry_out(run_dir: RunDir, trainer: Any, config: TrainingConfig) -> None:
    """Train to the last step, from the newest whole checkpoint if there is one. Stopped when asked to end early."""
    trainer.remove_callback(PrinterCallback)
    newest = last_checkpoint(run_dir.checkpoints)
    wait_for_all()
    trainer.train(resume_from_checkpoint=newest)
    if trainer.state.global_step < config.max_steps:
        raise Stopped


def last_checkpoint(directory: Path) -> str | None:
    """The newest whole checkpoint. One without its state file, written last, was cut short and is removed."""
    steps = sorted(directory.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(steps):
        try:
            json.loads((path / "trainer_state.json").read_text())
            return str(path)
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
    return None


class Reporter(TrainerCallback):
    """Progress to the run directory at each step, an ear for the stop file, an eye on figures that run away.

    tokens: what is read up to and including each step, from the plan: the counters of TRL's trainers on given rows
    forget at a resume, those of its generating trainers do not.
    """

    def __init__(self, run_dir: RunDir, config: TrainingConfig, tokens: Sequence[int] = ()) -> None:
        self.run_dir, self.total, self.tokens = run_dir, config.max_steps, tokens
        self.watch = Watch(by_loss=not isinstance(config, RlConfig))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop early, with a checkpoint, when asked to; all processes at the same step."""
        asked = [self.run_dir.stop_requested()]
        if processes() > 1:
            broadcast_object_list(asked)
        if asked[0]:
            control.should_training_stop = control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """One line a step; the summary at the end of training carries no loss and is left out."""
        if "loss" not in logs:
            return
        metrics = {NAMES[k]: round(float(v), 6) for k, v in logs.items() if k in NAMES and v is not None}
        self.watch.look(metrics)
        read = self.tokens[state.global_step - 1] if self.tokens else logs["num_tokens"]
        metrics["tokens"] = float(read)
        self.run_dir.progress(state.global_step, self.total, metrics, phase="train")


class Watch:
    """Ends a training whose figures left the numbers or ran away, as the user's error."""

    LOSS_FACTOR, LOSS_ROOM, KL_LIMIT = 3.0, 5.0, 1000.0

    def __init__(self, by_loss: bool) -> None:
        self.by_loss = by_loss
        self.losses: list[float] = []

    def look(self, metrics: dict[str, float]) -> None:
        """UserError `diverged` in words that say what happened."""
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            self._end(f"{' and '.join(bad)} became NaN: training left the numbers")
        if metrics.get("kl", 0.0) > self.KL_LIMIT:
            self._end(f"the policy has left its reference behind (KL {metrics['kl']:.0f})")
        self.losses.append(metrics["loss"])
        first, last = np.mean(self.losses[:TAIL]), np.mean(self.losses[-TAIL:])
        if self.by_loss and len(self.losses) >= 2 * TAIL and last > self.LOSS_FACTOR * abs(first) + self.LOSS_ROOM:
            self._end(f"the loss rose from {first:.2f} to {last:.2f}: training diverged")

    def _end(self, what: str) -> None:
        raise UserError("diverged", f"{what}; a lower learning rate may help", "config.lr")


def steps_of(run_dir: RunDir) -> dict[int, dict[str, float]]:
    """Metrics by training step; the later line of a step wins."""
    lines = read_lines(run_dir.path / "progress.jsonl")
    return {line["step"]: line["metrics"] for line in lines if line.get("phase") == "train"}


def tail_figures(run_dir: RunDir, *leave_out: str) -> dict[str, object]:
    """Means over the last steps of every metric that was reported."""
    steps = steps_of(run_dir)
    tail = [steps[step] for step in sorted(steps)[-TAIL:]]
    names = sorted({name for metrics in tail for name in metrics} - {"lr", "tokens", *leave_out})
    figures = {name: float(np.mean([m[name] for m in tail if name in m])) for name in names}
    rounded: dict[str, object] = {name: round(value, 6) for name, value in figures.items()}
    return rounded | {"steps": len(steps)}


def publish_adapter(run_dir: RunDir, trainer: Any, chain: Path | None) -> None:
    """The chain so far, copied, and the new adapter as its last link; nothing in it names a path."""
    links = chain_links(chain)
    with run_dir.publishing() as out:
        for number, link in enumerate(links):
            shutil.copytree(link, out / str(number))
        save_adapter(trainer, out / str(len(links)))


def save_adapter(trainer: Any, directory: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, gathered from all processes."""
    trainer.model.peft_config["default"].base_model_name_or_path = ""
    trainer.save_model(str(directory))
    for path in directory.glob("*"):
        if path.name not in ("adapter_config.json", "adapter_model.safetensors"):
            path.unlink()
