"""Run kinds that make a new policy from a policy. Each lays out its rows; the engine's output is one more adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feedback import intake
from feedback.errors import BadInput

from . import artifacts, bases, training_rows
from .laying_out import lay_out_cache, lay_out_policy, link, write_lines
from .models import Run

FEWEST = 8  # rows of any kind: with fewer there is nothing to learn


class TrainsPolicy:
    """What they share: the starting policy, its sample prompts, and the registration of the new one."""

    makes = "a policy"
    file = ""  # the rows' name in inputs/

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The rows of `file`, each with its `prompt_id` or, of prompts, its key as `prompt`."""
        raise NotImplementedError

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.policy is not None
        lay_out_policy(run.policy, inputs)
        rows = self.rows(run)
        if len(rows) < FEWEST:
            raise BadInput(f"There are {len(rows)} rows to learn from; {run.kind} needs at least {FEWEST}.")
        write_lines(inputs / self.file, rows)
        first = rows[0].get("prompt_id") or rows[0]["prompt"]
        samples = training_rows.samples(run, first)
        if samples:
            write_lines(inputs / "samples.jsonl", samples)

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        parent = run.policy
        assert parent is not None
        slug = run.inputs.get("slug") or f"{parent.slug[:60]}-{run.kind}-{str(run.pk)[-6:]}"
        decoding = {k: v for k, v in parent.decoding.items() if k != "best_of"}
        policy, _ = intake.add_policy(
            slug=slug, kind="local", base=parent.base, adapter=run.artifact, parent=parent,
            system_prompt=parent.system_prompt, decoding=decoding, note=f"trained by run {run.pk}",
        )  # fmt: skip
        Run.objects.filter(pk=run.pk).update(produced_policy=policy)


class Dpo(TrainsPolicy):
    """Pairs: `run.inputs["pairs"]` of response keys, and the dataset's own."""

    file = "pairs.jsonl"

    def rows(self, run: Run) -> list[dict[str, Any]]:
        return training_rows.pairs(run)


class Kto(TrainsPolicy):
    """Single answers of the dataset, called good or bad."""

    file = "answers.jsonl"

    def rows(self, run: Run) -> list[dict[str, Any]]:
        return training_rows.judged_answers(run)


class Sft(TrainsPolicy):
    """The dataset's good answers."""

    file = "answers.jsonl"

    def rows(self, run: Run) -> list[dict[str, Any]]:
        return training_rows.good_answers(run)


class PolicyGradient(TrainsPolicy):
    """Prompts of the dataset's train pairs, and `run.reward_model`, which rewards the answers to them."""

    file = "prompts.jsonl"

    def rows(self, run: Run) -> list[dict[str, Any]]:
        return training_rows.prompts(run)

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.reward_model is not None
        super().lay_out(run, inputs)
        link(inputs, "head", artifacts.path_of(run.reward_model.artifact))
        link(inputs, "head_base", bases.path_of(run.reward_model.base))
        lay_out_cache(inputs)
