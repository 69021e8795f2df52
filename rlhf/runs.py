"""Runs: ordered here, cancelled, put back, and swept up after dead workers.

The row is the job. `supervising.execute` carries it out on this machine; `attempts` says who may write the row
meanwhile.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.utils import timezone

from feedback import events
from feedback.errors import BadInput, Conflict
from feedback.lifecycle import advance
from feedback.models import Policy, User
from feedback.wake import backlog, wake

from . import attempts, bases, planning, spec
from .models import Decision, RewardDataset, RewardModel, Run
from .planning import check_config as check_config
from .run_dirs import run_dir
from .run_kinds import KINDS
from .supervising import execute as execute

TRAIN_QUEUE = "train"
WAKE = 20  # waiting runs of a queue that one sweep wakes


def start(
    *,
    kind: str,
    dataset: RewardDataset | None = None,
    policy: Policy | None = None,
    base: str = "",
    reward_model: RewardModel | None = None,
    config: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
    seed: int = 0,
    queue: str = "",
    actor: User | None = None,
) -> Run:
    """Order a run. Everything that can be known to be wrong is refused here, by field; nothing starts then.

    `queue` names the workers that may take it ("" is the usual ones').
    """
    queue = queue or TRAIN_QUEUE
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", queue):
        raise BadInput(f"queue: {queue!r} is no queue: small letters, digits and - only, at most 40.", where="queue")
    run = prepare(
        kind=kind, dataset=dataset, policy=policy, base=base, reward_model=reward_model, config=config, inputs=inputs
    )
    run.seed, run.worker_queue, run.created_by = seed, queue, actor
    with transaction.atomic():
        _order_starter(kind, run.base, actor)
        run.save(force_insert=True)
        events.record("run.ordered", run, actor=actor, after={"kind": kind, "config": run.config})
        wake("rlhf.tasks.run_job", str(run.pk), queue=queue)
    return run


def prepare(
    *,
    kind: str,
    dataset: RewardDataset | None = None,
    policy: Policy | None = None,
    base: str = "",
    reward_model: RewardModel | None = None,
    config: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
) -> Run:
    """The run as `start` would store it, with its settings filled in and its plan made; nothing is written."""
    if kind not in spec.KINDS or kind not in KINDS:
        raise BadInput(f"kind: {kind!r} is none of {', '.join(k for k in KINDS if k in spec.KINDS)}.", where="kind")
    own = {"system_prompt": policy.system_prompt} if kind in spec.POLICY_KINDS and policy else {}
    base = base or (policy.base if policy else "") or (reward_model.base if reward_model else "")
    given = {**own, **(config or {})}
    check_config(kind, given)
    _check_references(kind, dataset, policy, base, reward_model, inputs or {})
    run = Run(
        kind=kind, dataset=dataset, policy=policy, base=base, reward_model=reward_model, config=given,
        inputs=inputs or {},
    )  # fmt: skip
    run.plan = planning.plan(run, KINDS[kind])
    return run


def _check_references(
    kind: str,
    dataset: RewardDataset | None,
    policy: Policy | None,
    base: str,
    reward_model: RewardModel | None,
    inputs: dict[str, Any],
) -> None:
    trains = kind == "reward" or kind in spec.POLICY_KINDS
    if trains and dataset is None and not inputs.get("pairs"):
        raise BadInput("dataset: this kind of run learns from a dataset.", where="dataset")
    if kind in spec.REWARDED_KINDS and reward_model is None:
        raise BadInput("reward_model: this kind of run needs one to reward its answers.", where="reward_model")
    if dataset is not None and dataset.status != "ready":
        raise Conflict(f"dataset: {dataset.name} is {dataset.status}, not ready.", where="dataset")
    if kind in ("generate", "evaluate", "kl", *spec.POLICY_KINDS) and (policy is None or policy.kind != "local"):
        raise BadInput("base: name a local policy to start from.", where="base")
    if kind not in ("convert", "pretrain"):
        bases.require_known(base)


def _order_starter(kind: str, base: str, actor: User | None) -> None:
    """A starter model is made the first time that a run needs it."""
    needed = kind not in bases.STARTERS.values() and base in bases.STARTERS
    if needed and base not in bases.names() and bases.maker(base) is None:
        start(kind=bases.STARTERS[base], base=base, seed=1, actor=actor)


def cancel(*, run: Run, actor: User | None = None) -> Run:
    """Stop a run: at once when it waits, at its next step when it runs (a checkpoint is kept)."""
    with transaction.atomic():
        if run.status == "queued":
            advance(run, "cancelled", finished_at=timezone.now(), note="Cancelled before it started.")
        elif run.status == "running":
            Run.objects.filter(pk=run.pk, status="running").update(cancel_requested=True)
            run.cancel_requested = True
        else:
            raise Conflict(f"This run is {run.status}; there is nothing to cancel.", state=run.status)
        events.record("run.cancel_requested", run, actor=actor)
    return run


def resume(*, run: Run, actor: User | None = None) -> Run:
    """Put a failed or cancelled run back; it goes on from its last checkpoint."""
    with transaction.atomic():
        advance(run, "queued", cancel_requested=False, note="", error=None, crashes=0, finished_at=None)
        events.record("run.resumed", run, actor=actor)
        wake("rlhf.tasks.run_job", str(run.pk), queue=run.worker_queue)
    (run_dir(run) / "stop").unlink(missing_ok=True)
    return run


def sweep() -> int:
    """Put back runs whose worker died, wake those that wait; returns how many wait."""
    for run in Run.objects.filter(status="running", heartbeat_at__lt=timezone.now() - attempts.STALE):
        attempts.put_back(run, "The worker died; going on from the last checkpoint.")
    waiting = Run.objects.filter(status="queued").order_by("created_at").values_list("worker_queue", "pk")
    by_queue: dict[str, list[Any]] = {}
    for queue, pk in waiting:
        by_queue.setdefault(queue, []).append(pk)
    for queue, keys in by_queue.items():
        if backlog(queue) < WAKE:  # else its workers are busy, or only pullers serve it: more messages wake nobody
            for pk in keys[:WAKE]:
                wake("rlhf.tasks.run_job", str(pk), queue=queue)
    return sum(map(len, by_queue.values()))


def lineage(run: Run) -> dict[str, list[str]]:
    """What a run stands on and what came of it, by public id."""
    made = RewardModel.objects.filter(run=run).values_list("slug", flat=True)
    produced = [run.produced_policy.slug] if run.produced_policy else []
    decisions = Decision.objects.filter(candidate__slug__in=produced)
    return {
        "from": [str(x) for x in (run.dataset and run.dataset.digest, run.policy and run.policy.slug, run.base) if x],
        "made": [*made, *produced],
        "decided": [str(d.pk) for d in decisions],
    }
