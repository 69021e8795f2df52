"""From any judgment down to what learnt from it, and from anything up to the judgments it rests on.

    judgment -> dataset -> run -> reward model -> run -> policy -> decision -> deployment

Nothing is stored for this but what the rows point at and each dataset's own list of judgments. Withdrawing
marks: a dataset's `withdrawn_judgments` says how many of its judgments no longer stand.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet

from feedback import events, judging
from feedback.errors import BadInput, NotFound
from feedback.models import Judgment, Policy, User
from feedback.wake import wake

from . import artifacts
from .freezing import judgment_list
from .models import Decision, Deployment, RewardDataset, RewardModel, Round, Run

TYPES = ("judgment", "dataset", "run", "reward_model", "policy", "decision", "deployment")
SHOWN = 100  # judgments of one dataset or decision named one by one; all are counted
PASSING = ("convert", "pretrain", "generate", "score", "kl", "features")  # runs that learn nothing from people
CHUNK = 1000


class Node(NamedTuple):
    """`id` is what the outside calls it: uuid, slug or alias."""

    type: str
    id: str


@dataclass
class Graph:
    """What was found. `more`: judgments that are there and not listed, by the node they belong to."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[Node, Node]] = field(default_factory=list)
    more: dict[Node, int] = field(default_factory=dict)


def node(type: str, id: str) -> Node:
    """The node of that name. Raises BadInput for an unknown type, NotFound where there is no such thing."""
    if type not in TYPES:
        raise BadInput(f"{type!r} is none of {', '.join(TYPES)}.", where="type")
    if _rows(type, id) is None or not _rows(type, id).exists():  # type: ignore[union-attr]
        raise NotFound(f"There is no {type.replace('_', ' ')} {id}.")
    return Node(type, str(id))


def down(start: Node, limit: int = SHOWN) -> Graph:
    """Everything that learnt from it or was decided by it, edges from cause to effect."""
    return _walk(start, Graph(), _CHILDREN, limit, forward=True)


def up(start: Node, limit: int = SHOWN) -> Graph:
    """Everything that it rests on, edges from cause to effect; at most `limit` judgments a dataset."""
    graph = _walk(start, Graph(), _PARENTS, limit, forward=False)
    if start.type == "judgment":  # only here: who wrote what was judged
        for slug in _authors(start.id):
            graph.nodes.append(Node("policy", slug))
            graph.edges.append((Node("policy", slug), start))
    return graph


def around(start: Node, limit: int = SHOWN) -> Graph:
    """Both directions in one graph."""
    above, below = up(start, limit), down(start, limit)
    nodes = list(dict.fromkeys([*above.nodes, *below.nodes]))
    edges = list(dict.fromkeys([*above.edges, *below.edges]))
    return Graph(nodes, edges, {**above.more, **below.more})


Step = Callable[[str, int, Graph], Iterator[Node]]


def _walk(start: Node, graph: Graph, steps: dict[str, Step], limit: int, *, forward: bool) -> Graph:
    graph.nodes.append(start)
    seen, waiting = {start}, [start]
    while waiting:
        here = waiting.pop(0)
        for there in steps[here.type](here.id, limit, graph):
            edge = (here, there) if forward else (there, here)
            if edge not in graph.edges:
                graph.edges.append(edge)
            if there not in seen:
                seen.add(there)
                graph.nodes.append(there)
                waiting.append(there)
    return graph


def _rows(type: str, id: str) -> QuerySet[Any] | None:
    """The row of a node; None for an id that cannot be one."""
    if type in ("policy", "reward_model"):
        return (Policy if type == "policy" else RewardModel).objects.filter(slug=id)
    if type == "deployment":
        return Deployment.objects.filter(alias=id)
    model = {"judgment": Judgment, "dataset": RewardDataset, "run": Run, "decision": Decision}[type]
    try:
        return model.objects.filter(pk=uuid.UUID(str(id)))  # type: ignore[attr-defined]
    except ValueError:
        return None


def describe(found: Node) -> dict[str, Any]:
    """{"type", "id", "name", "status"?} of a node, for programs and pages."""
    rows = _rows(found.type, found.id)
    row = rows.first() if rows is not None else None
    if found.type == "judgment" or row is None:
        withdrawn = row is not None and row.withdrawn_at is not None
        return {"type": found.type, "id": found.id, "name": found.id[:13], "withdrawn": withdrawn}
    about: dict[str, Any] = {"type": found.type, "id": found.id, "name": str(row)}
    if found.type == "decision":
        about["name"] = f"{row.candidate} over {row.live}"
    if found.type == "dataset":
        about |= {"digest": row.digest or None, "withdrawn_judgments": row.withdrawn_judgments}
    if hasattr(row, "status"):
        about["status"] = row.status
    return about


# --- one step down -------------------------------------------------------------------------------


def _from_judgment(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    queue = Judgment.objects.filter(pk=id).values_list("queue", flat=True)
    for dataset in RewardDataset.objects.filter(queues__in=queue, status="ready").order_by("created_at"):
        if contained(dataset, [id]):
            yield Node("dataset", str(dataset.pk))
    for pk in Decision.objects.filter(queue__in=queue).values_list("pk", flat=True):
        yield Node("decision", str(pk))


def _from_dataset(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    yield from _runs(Run.objects.filter(dataset=id))


def _from_run(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    for slug in RewardModel.objects.filter(run=id).values_list("slug", flat=True):
        yield Node("reward_model", slug)
    for slug in Policy.objects.filter(produced_by=id).values_list("slug", flat=True):
        yield Node("policy", slug)


def _from_reward_model(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    model = RewardModel.objects.get(slug=id)
    ranked = Round.objects.filter(reward_run=model.run_id, train_run__isnull=False).values("train_run")
    yield from _runs(Run.objects.filter(Q(reward_model=model) | Q(pk__in=ranked)))
    for slug in Policy.objects.filter(head=model.artifact).values_list("slug", flat=True):
        yield Node("policy", slug)


def _from_policy(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    yield from _runs(Run.objects.filter(policy__slug=id))
    for pk in Decision.objects.filter(candidate__slug=id).order_by("created_at").values_list("pk", flat=True):
        yield Node("decision", str(pk))
    changed = Q(changes__policy__slug=id, changes__decision__isnull=True)
    for alias in Deployment.objects.filter(changed).distinct().values_list("alias", flat=True):
        yield Node("deployment", alias)
    for slug in Policy.objects.filter(parent__slug=id, produced_by__isnull=True).values_list("slug", flat=True):
        yield Node("policy", slug)


def _from_decision(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    for alias in Deployment.objects.filter(changes__decision=id).distinct().values_list("alias", flat=True):
        yield Node("deployment", alias)


def _runs(runs: QuerySet[Run]) -> Iterator[Node]:
    for pk in runs.exclude(kind__in=PASSING).order_by("created_at").values_list("pk", flat=True):
        yield Node("run", str(pk))


# --- one step up ---------------------------------------------------------------------------------


def _to_deployment(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    for change in Deployment.objects.get(alias=id).changes.order_by("pk").select_related("policy"):
        if change.decision_id:
            yield Node("decision", str(change.decision_id))
        else:
            yield Node("policy", change.policy.slug)


def _to_decision(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    decision = Decision.objects.select_related("candidate", "live").get(pk=id)
    yield Node("policy", decision.candidate.slug)
    yield Node("policy", decision.live.slug)
    ids = Judgment.objects.filter(queue=decision.queue_id).order_by("pk").values_list("pk", flat=True)
    _count(graph, Node("decision", id), ids.count() - limit)
    for pk in ids[:limit]:
        yield Node("judgment", str(pk))


def _to_policy(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    policy = Policy.objects.select_related("parent").get(slug=id)
    made = Run.objects.filter(produced_policy=policy).values_list("pk", flat=True).first()
    if made:
        yield Node("run", str(made))
    elif policy.parent is not None:
        yield Node("policy", policy.parent.slug)
    if policy.head:
        for slug in RewardModel.objects.filter(artifact=policy.head).values_list("slug", flat=True):
            yield Node("reward_model", slug)


def _to_run(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    run = Run.objects.select_related("policy", "reward_model").get(pk=id)
    if run.dataset_id:
        yield Node("dataset", str(run.dataset_id))
    if run.policy is not None:
        yield Node("policy", run.policy.slug)
    if run.reward_model is not None:
        yield Node("reward_model", run.reward_model.slug)
    for slug in RewardModel.objects.filter(run__in=Round.objects.filter(train_run=run).values("reward_run")):
        yield Node("reward_model", slug.slug)


def _to_reward_model(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    yield Node("run", str(RewardModel.objects.get(slug=id).run_id))


def _to_dataset(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    dataset = RewardDataset.objects.get(pk=id)
    if dataset.status != "ready":
        return
    folder = artifacts.path_of(dataset.artifact)
    _count(graph, Node("dataset", id), judgment_list.count(folder) - limit)
    for pk in judgment_list.first(folder, limit):
        yield Node("judgment", pk)


def _nothing(id: Any, limit: int, graph: Graph) -> Iterator[Node]:
    return iter(())


def _count(graph: Graph, node: Node, more: int) -> None:
    if more > 0:
        graph.more[node] = more


def _authors(judgment: Any) -> list[str]:
    written = Policy.objects.filter(responses__items__judgments=judgment)
    return sorted(set(written.values_list("slug", flat=True)))


_CHILDREN: dict[str, Step] = {
    "judgment": _from_judgment, "dataset": _from_dataset, "run": _from_run, "reward_model": _from_reward_model,
    "policy": _from_policy, "decision": _from_decision, "deployment": _nothing,
}  # fmt: skip
_PARENTS: dict[str, Step] = {
    "judgment": _nothing, "dataset": _to_dataset, "run": _to_run, "reward_model": _to_reward_model,
    "policy": _to_policy, "decision": _to_decision, "deployment": _to_deployment,
}  # fmt: skip


# --- withdrawing ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Withdrawal:
    """How many judgments were taken out (or put back) and which datasets rest on some that are out."""

    judgments: int
    datasets: list[RewardDataset]


def withdraw(*, judgments: QuerySet[Judgment], reason: str, actor: User | None = None) -> Withdrawal:
    """Take judgments out everywhere and mark the datasets that hold them. Nothing is deleted."""
    with transaction.atomic():
        done = judging.withdraw_rows(judgments, reason=reason, actor=actor)
        wake("feedback.tasks.settle_judgments")
    return Withdrawal(done, mark_withdrawn())


def reinstate(*, judgments: QuerySet[Judgment], reason: str, actor: User | None = None) -> Withdrawal:
    """Lift a withdrawal; what is built afterwards is what was built before it."""
    with transaction.atomic():
        done = judging.reinstate_rows(judgments, reason=reason, actor=actor)
        wake("feedback.tasks.settle_judgments")
    return Withdrawal(done, mark_withdrawn())


def contained(dataset: RewardDataset, ids: list[str]) -> list[str]:
    """Which of these judgments the dataset rests on; none where its files are on another machine."""
    try:
        return judgment_list.contains(artifacts.path_of(dataset.artifact), ids)
    except (NotFound, FileNotFoundError):
        return []


def mark_withdrawn() -> list[RewardDataset]:
    """Bring every dataset's `withdrawn_judgments` up to date; returns those that rest on some.

    Cheap where nothing was withdrawn since: a dataset remembers what it last saw of its queues.
    """
    out = Judgment.objects.filter(withdrawn_at__isnull=False)
    state = {
        q: f"{n} {last:%s.%f}" for q, n, last in out.values_list("queue").annotate(Count("pk"), Max("withdrawn_at"))
    }
    marked = []
    for dataset in RewardDataset.objects.filter(status="ready").prefetch_related("queues"):
        seen = "; ".join(f"{q.pk}: {state[q.pk]}" for q in dataset.queues.all() if q.pk in state)
        if seen != dataset.withdrawals_seen:
            _recount(dataset, out, seen)
        if dataset.withdrawn_judgments:
            marked.append(dataset)
    return marked


def _recount(dataset: RewardDataset, out: QuerySet[Judgment], seen: str) -> None:
    ids = [str(pk) for pk in out.filter(queue__in=dataset.queues.all()).values_list("pk", flat=True)]
    before, dataset.withdrawn_judgments = dataset.withdrawn_judgments, len(contained(dataset, ids))
    dataset.withdrawals_seen = seen
    with transaction.atomic():
        dataset.save(update_fields=["withdrawn_judgments", "withdrawals_seen"])
        if before != dataset.withdrawn_judgments:
            events.record(
                "dataset.marked",
                dataset,
                before={"withdrawn": before},
                after={"withdrawn": dataset.withdrawn_judgments},
            )
