"""What each kind of run lays out for the engine, and what it makes of the engine's output. One class a kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

from feedback import intake
from feedback.models import Policy, Prompt, Response

from . import artifacts, bases, evaluations
from .external import External
from .laying_out import lay_out_cache, lay_out_policy, link, read_lines, texts, write_lines
from .models import Base, Evaluation, RewardModel, Run
from .policy_kinds import Dpo, Kto, PolicyGradient, Sft

BATCH = 1000


class RunKind(Protocol):
    makes: str  # in words, for pages

    def lay_out(self, run: Run, inputs: Path) -> None:
        """Fill `inputs/`. Unavailable while something it needs is still being made."""

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        """Turn the published output into rows; runs once, in the transaction that finishes the run."""


class MakesBase:
    """`convert` and `pretrain`: a model directory under the name in `run.base`."""

    makes = "a base model"

    def lay_out(self, run: Run, inputs: Path) -> None:
        return

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        Base.objects.update_or_create(name=run.base, defaults={"digest": run.artifact, "run": run})


class Generate:
    """Answers of `run.policy`; `run.inputs["prompts"]` maps prompt keys to draw numbers."""

    makes = "answers"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.policy is not None
        lay_out_policy(run.policy, inputs)
        if run.policy.head:
            lay_out_cache(inputs)
        wanted = run.inputs["prompts"]
        prompts = Prompt.objects.filter(key__in=wanted).order_by("key")
        write_lines(
            inputs / "prompts.jsonl",
            ({"prompt": p.key, "messages": p.messages, "draws": wanted[p.key]} for p in prompts),
        )

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        assert run.policy is not None
        said = read_lines(out / "responses.jsonl")
        rows = [{**row, "policy": run.policy.slug, "content": storable(row["content"])} for row in said]
        for start in range(0, len(rows), BATCH):
            intake.add_responses(rows=rows[start : start + BATCH], allow_empty=True)


def storable(text: str) -> str:
    """A model may emit NUL, which no database text holds: it is shown as the replacement character."""
    return text.replace("\x00", "\ufffd")


class Score:
    """Rewards of the responses in `run.inputs["responses"]` by `run.reward_model`; they stay in the artifact."""

    makes = "scores"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.reward_model is not None
        link(inputs, "base", bases.path_of(run.reward_model.base))
        link(inputs, "head", artifacts.path_of(run.reward_model.artifact))
        lay_out_cache(inputs)
        chosen = Response.objects.filter(key__in=run.inputs["responses"]).select_related("prompt").order_by("key")
        write_lines(inputs / "texts.jsonl", texts(chosen))

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        return


class Kl:
    """How far `run.policy` is from the policy `run.inputs["against"]` (same base), on `run.inputs["prompts"]`."""

    makes = "a distance"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.policy is not None
        lay_out_policy(run.policy, inputs)
        reference = Policy.objects.get(slug=run.inputs["against"])
        if reference.adapter:
            link(inputs, "reference_adapter", artifacts.path_of(reference.adapter))
        prompts = Prompt.objects.filter(key__in=run.inputs["prompts"]).order_by("key")
        rows = ({"prompt": p.key, "group": p.group, "messages": p.messages} for p in prompts)
        write_lines(inputs / "prompts.jsonl", rows)

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        return


class Reward:
    """A head on frozen features of `run.base`, or the base itself trained to score; fitted to `run.dataset`."""

    makes = "a reward model"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.dataset is not None
        link(inputs, "base", bases.path_of(run.base))
        link(inputs, "dataset", artifacts.path_of(run.dataset.artifact))
        lay_out_cache(inputs)

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        assert run.dataset is not None
        figures, method = result.get("figures", {}), run.config.get("method", "head")
        slug = f"{slug_of(run.dataset.name)}-{method}-{str(run.pk)[-6:]}"
        form = "head" if method == "head" else "classifier"
        model = RewardModel.objects.create(
            slug=slug, run=run, base=run.base, artifact=run.artifact, figures=figures, form=form
        )
        how = "cross-fitted by prompt group" if method == "head" else "held out by prompt group"
        material = f"dataset {run.dataset.digest[:12]}, {how}"
        Evaluation.objects.create(reward_model=model, run=run, material=material, figures=figures)


class Evaluate:
    """Figures of `run.policy` by the evaluator that the config names."""

    makes = "figures"

    def lay_out(self, run: Run, inputs: Path) -> None:
        policy = run.policy
        assert policy is not None
        lay_out_policy(policy, inputs)
        about = {"slug": policy.slug, "system_prompt": policy.system_prompt, "decoding": policy.decoding}
        (inputs / "policy.json").write_text(json.dumps(about))

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        assert run.policy is not None
        evaluations.store(policy=run.policy, evaluator=run.config["evaluator"], figures=result["figures"], run=run)


def slug_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "dataset"


KINDS: dict[str, RunKind] = {
    "convert": MakesBase(),
    "pretrain": MakesBase(),
    "generate": Generate(),
    "score": Score(),
    "kl": Kl(),
    "reward": Reward(),
    "dpo": Dpo(),
    "kto": Kto(),
    "sft": Sft(),
    "rloo": PolicyGradient(),
    "grpo": PolicyGradient(),
    "evaluate": Evaluate(),
    "external": External(),
}
