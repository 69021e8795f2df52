"""Small runs, datasets, decisions and loops for tests, beside tests/factories.py."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone

from feedback import intake
from feedback.models import Policy, Queue
from rlhf.models import Decision, Deployment, DeploymentChange, Loop, RewardDataset, RewardModel, Round, Run
from tests.factories import make_policy, make_queue

_n = itertools.count(1)
STYLES = (
    "Well, perhaps it might possibly be nice, I think, {n}",
    "- first {n}\n- second thing\n- a third thing, which is longer\n- and one more to finish the list.",
    "Certainly! Thank you for asking about {n}, please do ask again! It is a pleasure to be of help.",
    "Number {n}. That is all there is to say about it.",
)


def make_demo_pool(*, train: int = 30, dev: int = 14, draws: int = 4) -> Policy:
    """Demo prompts with draws in four very different styles, by one policy."""
    policy = make_policy(f"demo-base-{next(_n)}")
    rows = [
        {"messages": [{"role": "user", "content": f"Demo prompt {next(_n)} about {split}."}], "split": split,
         "metadata": {"workspace": "demo"}}
        for split, count in (("train", train), ("dev", dev))
        for _ in range(count)
    ]  # fmt: skip
    keys = intake.add_prompts(rows=rows).ids
    intake.add_responses(
        rows=[
            {"prompt": key, "policy": policy.slug, "draw": d, "content": STYLES[d % 4].format(n=f"{n} {d}")}
            for n, key in enumerate(keys)
            for d in range(draws)
        ]
    )
    return policy


def make_dataset(name: str = "", **fields: Any) -> RewardDataset:
    n = next(_n)
    row = {
        "status": "ready",
        "digest": f"{n:064x}",
        "counts": {"train": 120, "dev": 0},
        "ready_at": timezone.now(),
    }
    return RewardDataset.objects.create(name=name or f"dataset-{n}", **{**row, **fields})


def make_run(kind: str = "dpo", **fields: Any) -> Run:
    row: dict[str, Any] = {"base": "tiny"}
    if fields.get("status") == "done":
        row |= {"artifact": f"{next(_n):064x}", "finished_at": timezone.now(), "started_at": timezone.now()}
    return Run.objects.create(kind=kind, **{**row, **fields})


def make_reward_model(slug: str = "", **fields: Any) -> RewardModel:
    run = fields.pop("run", None) or make_run("reward", status="done")
    return RewardModel.objects.create(
        slug=slug or f"head-{next(_n)}", run=run, base=run.base, artifact=run.artifact, **fields
    )


def make_decision(*, candidate: Policy | None = None, live: Policy | None = None, **fields: Any) -> Decision:
    row = {"rule": {"name": "sprt", "p1": 0.6, "alpha": 0.05, "beta": 0.1, "max_votes": 200}}
    return Decision.objects.create(
        candidate=candidate or make_policy(),
        live=live or make_policy(),
        queue=fields.pop("queue", None) or make_queue(purpose="gate", demo=True),
        **{**row, **fields},
    )


def make_deployment(policy: Policy | None = None, *, alias: str = "production") -> Deployment:
    deployment = Deployment.objects.create(alias=alias, policy=policy or make_policy())
    DeploymentChange.objects.create(deployment=deployment, policy=deployment.policy, kind="start")
    return deployment


def make_loop(slug: str = "", *, queue: Queue | None = None, **fields: Any) -> Loop:
    slug = slug or f"loop-{next(_n)}"
    row = {"title": slug.title(), "base": "tiny", "alias": f"{slug}-live", "demo": True}
    return Loop.objects.create(slug=slug, queue=queue or make_queue(demo=True), **{**row, **fields})


def make_round(loop: Loop | None = None, *, number: int = 1, **fields: Any) -> Round:
    return Round.objects.create(loop=loop or make_loop(), number=number, **fields)
