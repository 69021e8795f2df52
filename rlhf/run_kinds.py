"""What each kind of run lays out for the engine, and what it makes of the engine's output. One class a kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq
from django.conf import settings

from feedback import intake
from feedback.errors import BadInput
from feedback.models import Policy, Prompt, Response

from . import artifacts, bases, evaluations
from .external import External
from .models import Base, Evaluation, RewardModel, Run

BATCH = 1000


class RunKind(Protocol):
    makes: str  # in words, for pages

    def lay_out(self, run: Run, inputs: Path) -> None:
        """Fill `inputs/`. Unavailable while something it needs is still being made."""

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        """Turn the published output into rows; runs once, in the transaction that finishes the run."""


def link(inputs: Path, name: str, target: Path) -> None:
    place = inputs / name
    if place.is_symlink() or place.exists():
        place.unlink()
    place.symlink_to(target.resolve())


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def lay_out_policy(policy: Policy, inputs: Path) -> None:
    """base, and where the policy has them: its adapter chain and the head that chooses for it."""
    link(inputs, "base", bases.path_of(policy.base))
    if policy.adapter:
        link(inputs, "adapter", artifacts.path_of(policy.adapter))
    if policy.head:
        link(inputs, "head", artifacts.path_of(policy.head))


def lay_out_cache(inputs: Path) -> None:
    """Features of a text never change for the same base and layer, so all runs of a machine share them."""
    cache = Path(settings.PLUMBLINE_HOME) / "cache" / "features"
    cache.mkdir(parents=True, exist_ok=True)
    link(inputs, "cache", cache)


def texts(responses: Iterable[Response]) -> Iterator[dict[str, Any]]:
    for r in responses:
        yield {"id": r.key, "messages": r.prompt.messages, "content": r.content}


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


class Reward:
    """An ensemble head on frozen features of `run.base`, fitted to `run.dataset`."""

    makes = "a reward model"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.dataset is not None
        link(inputs, "base", bases.path_of(run.base))
        link(inputs, "dataset", artifacts.path_of(run.dataset.artifact))
        lay_out_cache(inputs)

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        assert run.dataset is not None
        figures = result.get("figures", {})
        slug = f"{slug_of(run.dataset.name)}-head-{str(run.pk)[-6:]}"
        model = RewardModel.objects.create(slug=slug, run=run, base=run.base, artifact=run.artifact, figures=figures)
        material = f"dataset {run.dataset.digest[:12]}, cross-fitted by prompt group"
        Evaluation.objects.create(reward_model=model, run=run, material=material, figures=figures)


class Dpo:
    """A new policy from `run.policy`: `run.inputs["pairs"]` of response keys, and the dataset's own pairs."""

    makes = "a policy"

    def lay_out(self, run: Run, inputs: Path) -> None:
        assert run.policy is not None
        lay_out_policy(run.policy, inputs)
        rows = [*_ranked_pairs(run.inputs.get("pairs", [])), *_dataset_pairs(run)]
        if len(rows) < MIN_PAIRS:
            raise BadInput(f"There are {len(rows)} pairs to learn from; DPO needs at least {MIN_PAIRS}.")
        write_lines(inputs / "pairs.jsonl", rows)

    def register(self, run: Run, out: Path, result: dict[str, Any]) -> None:
        parent = run.policy
        assert parent is not None
        slug = run.inputs.get("slug") or f"{parent.slug[:60]}-dpo-{str(run.pk)[-6:]}"
        decoding = {k: v for k, v in parent.decoding.items() if k != "best_of"}
        policy, _ = intake.add_policy(
            slug=slug, kind="local", base=parent.base, adapter=run.artifact, parent=parent,
            system_prompt=parent.system_prompt, decoding=decoding, note=f"trained by run {run.pk}",
        )  # fmt: skip
        Run.objects.filter(pk=run.pk).update(produced_policy=policy)


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


MIN_PAIRS = 8


def _ranked_pairs(pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows {"prompt", "chosen", "rejected"} of keys plus target and weight -> texts."""
    keys = {p[side] for p in pairs for side in ("chosen", "rejected")}
    found = {r.key: r for r in Response.objects.filter(key__in=keys).select_related("prompt")}
    for pair in pairs:
        chosen, rejected = found[pair["chosen"]], found[pair["rejected"]]
        row = _row(chosen.prompt.messages, chosen.content, rejected.content, pair["target"], pair.get("weight", 1.0))
        # an answer that was cut off must not teach the policy to stop there
        yield row | {"chosen_finish_reason": chosen.finish_reason, "rejected_finish_reason": rejected.finish_reason}


def _dataset_pairs(run: Run) -> Iterator[dict[str, Any]]:
    """The people's own pairs; `only_policy` keeps those whose two answers the starting policy wrote."""
    if run.dataset is None:
        return
    folder = artifacts.path_of(run.dataset.artifact)
    rows = [
        *pq.read_table(folder / "train.parquet").to_pylist(),
        *pq.read_table(folder / "ties.parquet").to_pylist(),
    ]
    allowed = _texts_of(run.policy, rows) if run.inputs.get("only_policy") else None
    for row in rows:
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        prompt = row["prompt_id"]
        if allowed is None or ((prompt, chosen) in allowed and (prompt, rejected) in allowed):
            yield _row(row["prompt"], chosen, rejected, row["probability"], 1.0)


def _texts_of(policy: Policy | None, rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    prompts = {row["prompt_id"] for row in rows}
    own = Response.objects.filter(policy=policy, prompt__key__in=prompts)
    return set(own.values_list("prompt__key", "content"))


def _row(messages: list[dict[str, str]], chosen: str, rejected: str, target: float, weight: float) -> dict[str, Any]:
    def turn(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    return {
        "prompt": messages,
        "chosen": turn(chosen),
        "rejected": turn(rejected),
        "target": target,
        "weight": weight,
    }


def slug_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "dataset"


KINDS: dict[str, RunKind] = {
    "convert": MakesBase(),
    "pretrain": MakesBase(),
    "generate": Generate(),
    "score": Score(),
    "reward": Reward(),
    "dpo": Dpo(),
    "evaluate": Evaluate(),
    "external": External(),
}
