from __future__ import annotations

import uuid

import pytest

from feedback.errors import BadInput, NotFound
from feedback.models import Event, Judgment
from rlhf import lineage, reward_datasets
from rlhf.freezing import judgment_list
from rlhf.lineage import Node
from rlhf.models import RewardDataset, Run
from tests.factories import make_policy
from tests.factories_rlhf import make_built_dataset, make_decision, make_reward_model, make_run

pytestmark = pytest.mark.django_db


def chain() -> tuple[str, RewardDataset, Run, str, str]:
    """judgment -> dataset -> reward run -> head -> dpo run -> policy -> decision"""
    dataset = make_built_dataset()
    reward = make_run("reward", dataset=dataset, status="done")
    head = make_reward_model("head-1", run=reward)
    policy = make_policy("better", kind="local", base="tiny")
    make_run("dpo", reward_model=head, status="done", produced_policy=policy)
    decision = make_decision(candidate=policy)
    judgment = str(Judgment.objects.order_by("pk").values_list("pk", flat=True)[0])
    return judgment, dataset, reward, "better", str(decision.pk)


def test_down_from_a_judgment_reaches_the_decision() -> None:
    judgment, dataset, reward, policy, decision = chain()
    found = lineage.down(Node("judgment", judgment)).nodes
    assert [n.type for n in found] == ["judgment", "dataset", "run", "reward_model", "run", "policy", "decision"]
    assert {Node("dataset", str(dataset.pk)), Node("policy", policy), Node("decision", decision)} <= set(found)


def test_up_from_the_decision_reaches_the_same_judgment_by_the_same_edges() -> None:
    judgment, _, _, _, decision = chain()
    up, down = lineage.up(Node("decision", decision)), lineage.down(Node("judgment", judgment))
    assert Node("judgment", judgment) in up.nodes
    assert set(down.edges) <= set(up.edges)


def test_a_dataset_names_some_of_its_judgments_and_counts_the_rest() -> None:
    _, dataset, *_ = chain()
    node = Node("dataset", str(dataset.pk))
    graph = lineage.up(node, limit=3)
    assert len([n for n in graph.nodes if n.type == "judgment"]) == 3 and graph.more == {node: 5}


def test_a_judgment_knows_who_wrote_what_it_judged() -> None:
    judgment, *_ = chain()
    assert [n.type for n in lineage.up(Node("judgment", judgment)).nodes] == ["judgment", "policy"]


@pytest.mark.parametrize(("type", "error"), [("label", BadInput), ("run", NotFound), ("policy", NotFound)])
def test_what_is_not_there_is_said(type: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        lineage.node(type, str(uuid.uuid4()))


def test_withdrawing_marks_the_datasets_that_hold_the_judgment_and_lifting_unmarks_them() -> None:
    judgment, dataset, *_ = chain()
    other = make_built_dataset("other")
    rows = Judgment.objects.filter(pk=judgment)
    done = lineage.withdraw(judgments=rows, reason="asked to")
    assert done.judgments == 1 and done.datasets == [dataset]
    other.refresh_from_db()
    assert other.withdrawn_judgments == 0
    assert lineage.reinstate(judgments=rows, reason="a mistake").datasets == []
    dataset.refresh_from_db()
    assert dataset.withdrawn_judgments == 0
    assert Event.objects.filter(verb="dataset.marked", object_id=str(dataset.pk)).count() == 2


def test_a_dataset_built_without_the_withdrawn_ones_is_not_marked_and_lifting_brings_the_old_digest() -> None:
    judgment, dataset, *_ = chain()
    rows = Judgment.objects.filter(pk=judgment)
    lineage.withdraw(judgments=rows, reason="asked to")

    def again() -> RewardDataset:
        ordered = reward_datasets.order(name="again", queues=list(dataset.queues.all()), recipe=dataset.recipe)
        return reward_datasets.build(dataset_id=ordered.pk)

    without = again()
    assert without.digest != dataset.digest and without not in lineage.mark_withdrawn()
    lineage.reinstate(judgments=rows, reason="a mistake")
    assert again().digest == dataset.digest


def test_judgments_are_found_by_bisection(tmp_path) -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(101))
    judgment_list.write(tmp_path, ids[::2])
    assert judgment_list.contains(tmp_path, ids) == ids[::2]
    assert judgment_list.count(tmp_path) == 51 and judgment_list.first(tmp_path, 2) == [ids[0], ids[2]]
