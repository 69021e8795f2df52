"""Small runs, datasets, decisions and loops for tests, beside tests/factories.py."""

from __future__ import annotations

import itertools
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils import timezone

from feedback import assigning, intake, judging
from feedback.models import Policy, Queue, User
from feedback.stats.sequential import Rule
from feedback.stats.style import STYLE_NAMES
from rlhf import artifacts, deployments, gates, reward_datasets
from rlhf.loops import STEPS
from rlhf.models import (
    Decision,
    Deployment,
    DeploymentChange,
    Loop,
    RewardDataset,
    RewardModel,
    Round,
    RoundStep,
    Run,
    RunMetric,
)
from tests.factories import make_item, make_member, make_policy, make_prompt, make_queue, make_response, make_user

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


def vote(queue: Queue, person: User, wanted: int | str) -> None:
    """One judgment by the person on their next item: position 0 or 1, tie or both_bad."""
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    choice = wanted if isinstance(wanted, str) else "AB"[lease.order.index(wanted)]
    judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice})


def make_built_dataset(name: str = "first harvest", *, kind: str = "human", pairs: int = 8) -> RewardDataset:
    """A dataset of judged train pairs, one of them a tie, really built."""
    judge, queue = make_user(), make_queue(demo=True)
    make_member(queue, judge, kind=kind)
    for n in range(pairs):
        make_item(queue, prompt=make_prompt(), texts=(f"A **good** answer, {n}.", f"A poor one {n}"), arm="control")
    for n in range(pairs):
        vote(queue, judge, "tie" if n == 7 else n % 2)
    ordered = reward_datasets.order(name=name, queues=[queue])
    return reward_datasets.build(dataset_id=ordered.pk)


def make_vote(*, wins: int, losses: int, halves: int = 0, kind: str = "human", prompts: int = 60) -> Decision:
    """A decision with so many votes read, interleaved as evenly as they go."""
    judge = make_user()
    label_queue = make_queue(demo=True)
    make_member(label_queue, judge, kind=kind)
    live, candidate = make_policy(kind="local", base="tiny"), make_policy(kind="local", base="tiny")
    drawn = [make_prompt(split="gate") for _ in range(prompts)]
    for n, prompt in enumerate(drawn):
        make_response(prompt, f"The answer that is live, number {n}.", policy=live)
        make_response(prompt, f"What the candidate says instead, number {n}.", policy=candidate)
    alias = f"alias-{next(_n)}"
    deployments.promote(policy=live, alias=alias)
    decision = gates.open_decision(
        candidate=candidate, live=live, prompts=drawn, rule=Rule(limit=prompts), label_queue=label_queue,
        alias=alias, seed=7,
    )  # fmt: skip
    ballots = [
        (n / max(count, 1), said) for said, count in ((0, wins), (1, losses), ("tie", halves)) for n in range(count)
    ]
    for _, said in sorted(ballots, key=lambda b: (b[0], str(b[1]))):
        vote(decision.queue, judge, said)
    return gates.consume(decision=decision)


def write_predictions(dataset: RewardDataset, *, extra: int = 60) -> str:
    """An artifact with the table of held-out predictions: the dataset's own pairs, and as many more as asked for."""
    table = pq.read_table(artifacts.path_of(dataset.artifact) / "train.parquet").to_pylist()
    style = [0.1] * len(STYLE_NAMES)
    rows = [
        {"pair_id": row["pair_id"], "prompt_id": row["prompt_id"], "group": row["group"], "queue": row["queue"],
         "arm": "control", "used": True, "probability": 0.2 if n < 2 else 0.7, "target": 1.0, "spread": 0.4,
         "agreement": 0.9, "margin": 0.0, "strength": None, "votes": 1, "judgment_ids": row["judgment_ids"],
         "chosen_length": 30, "rejected_length": 20, "chosen_style": style, "rejected_style": [0.0] * len(style)}
        for n, row in enumerate(table)
    ]  # fmt: skip
    for n in range(extra):
        p, right = 0.55 + 0.4 * (n % 10) / 10, n % 4 != 0
        more = {"pair_id": f"p{n}", "prompt_id": f"q{n}", "group": f"g{n}", "probability": p if right else 1 - p,
                "votes": 1 + n % 2 * 2, "target": 1.0 if n % 3 else 2 / 3, "judgment_ids": [],
                "chosen_length": 20 + n % 5 * 10, "rejected_length": 35,
                "chosen_style": [((n + k) % 7) / 7 for k in range(len(style))]}  # fmt: skip
        rows.append({**rows[0], **more})
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.Table.from_pylist(rows), Path(folder) / "predictions.parquet")
        return artifacts.publish(Path(folder), kind="reward")


def add_metrics(run: Run, steps: int = 40) -> None:
    """Curves as DPO draws them."""
    now = timezone.now()
    curves = {"loss": lambda n: 0.69 - 0.004 * n, "margin": lambda n: 0.02 * n, "accuracy": lambda n: 0.5 + 0.01 * n}
    RunMetric.objects.bulk_create(
        RunMetric(run=run, step=n, name=name, value=curve(n), at=now)
        for name, curve in curves.items()
        for n in range(1, steps + 1)
    )


FIGURES = {
    "accuracy": {"value": 0.64, "low": 0.57, "high": 0.7, "n": 212},
    "accuracy_on": "control",
    "longer_wins": {"value": 0.55, "low": 0.48, "high": 0.61, "n": 212},
    "shorter_wins": {"value": 0.45, "low": 0.39, "high": 0.52, "n": 212},
    "calibration_slope": {"value": 0.9, "low": 0.6, "high": 1.2, "n": 212},
    "log_loss": 0.66,
}


def make_world() -> Loop:
    """A demo loop with one closed round and a second one in training: every engineer's page has something to show."""
    dataset = make_built_dataset(kind="simulated")
    decision = make_vote(wins=14, losses=22, halves=3, kind="simulated")
    loop = make_loop("demo", title="The demo's loop", alias=decision.alias, queue=dataset.queues.get())
    reward = make_run("reward", status="done", dataset=dataset, artifact=write_predictions(dataset))
    make_reward_model("demo-head", run=reward, figures=FIGURES)
    trained = make_run("dpo", status="done", policy=decision.live, dataset=dataset, produced_policy=decision.candidate)
    add_metrics(trained)
    facts = {"new_judgments": 8, "pairs": 7, "ties": 1, "reward": FIGURES, "ranked_pairs": 60, "asked": 12,
             "arms": {"control": 3, "active": 9}, "gate_prompts": ["x"] * 60}  # fmt: skip
    first = make_round(
        loop, status="closed", dataset=dataset, reward_run=reward, train_run=trained, decision=decision,
        live=decision.live, facts=facts, closed_at=timezone.now(),
    )  # fmt: skip
    began = timezone.now() - timedelta(minutes=20)
    for n, name in enumerate(STEPS):
        times = {"started_at": began + timedelta(minutes=n), "ended_at": began + timedelta(minutes=n + 1)}
        RoundStep.objects.create(round=first, name=name, **times)
    running = make_run(
        "dpo", status="running", policy=decision.live, dataset=dataset, step=24, total_steps=60, phase="training",
        attempt=1, started_at=timezone.now() - timedelta(seconds=95), heartbeat_at=timezone.now(),
        log_tail="step 23 loss .64\nstep 24 loss .63\n", config={"lr": 1e-4, "beta": 0.1, "max_steps": 60},
    )  # fmt: skip
    add_metrics(running, 24)
    second = make_round(
        loop, number=2, status="training", dataset=dataset, reward_run=reward, train_run=running,
        live=decision.live,
        facts={"new_judgments": 120, "pairs": 104, "ties": 9, "reward": FIGURES, "ranked_pairs": 96},
        explain="training the policy: training 24 of 60",
    )  # fmt: skip
    for name in list(STEPS)[:6]:
        RoundStep.objects.create(
            round=second, name=name, started_at=began, ended_at=None if name == "training" else began
        )
    failed = make_run("generate", status="failed", policy=decision.live, finished_at=timezone.now())
    Run.objects.filter(pk=failed.pk).update(error={"code": "disk", "message": "No space left on device."})
    return loop


def make_ballot(
    *voters: User,
    prompts: int = 60,
    rule: Rule | None = None,
    new: str = "What the candidate says about {n}.",
    old: str = "What is live says about {n}.",
    demo: bool = False,
    **settings: Any,
) -> Decision:
    """An open decision over an alias of its own; `new` and `old` are the sides' answers, {n} the prompt's number."""
    label_queue = make_queue(members=voters, demo=demo)
    live, candidate = make_policy(), make_policy()
    drawn = [make_prompt(split="gate") for _ in range(prompts)]
    for n, prompt in enumerate(drawn):
        make_response(prompt, old.format(n=n), policy=live)
        make_response(prompt, new.format(n=n), policy=candidate)
    alias = settings.pop("alias", f"alias-{next(_n)}")
    if deployments.live(alias) is None:
        deployments.promote(policy=live, alias=alias)
    return gates.open_decision(
        candidate=candidate, live=live, prompts=drawn, rule=rule or Rule(limit=prompts), label_queue=label_queue,
        alias=alias, **settings,
    )  # fmt: skip
