from __future__ import annotations

import json
import random

import pyarrow.parquet as pq
import pytest

from feedback import assigning, judging
from feedback.errors import BadInput, Conflict
from feedback.models import Judgment, Queue, User
from rlhf import artifacts, reward_datasets
from rlhf.freezing import judgment_list
from rlhf.models import RewardDataset
from tests.factories import make_item, make_prompt, make_queue, make_user

pytestmark = pytest.mark.django_db


def judged_queue(*answers: object, splits: tuple[str, ...] = ()) -> tuple[Queue, User]:
    """A queue with one judged item an answer (position 0 or 1, tie, both_bad)."""
    ann = make_user()
    queue = make_queue(members=(ann,))
    for n, _ in enumerate(answers):
        make_item(queue, prompt=make_prompt(split=splits[n] if splits else "train"))
    for answer in answers:
        lease = assigning.claim(queue=queue, annotator=ann)
        assert lease is not None
        choice = answer if isinstance(answer, str) else "AB"[lease.order.index(answer)]
        judging.judge(assignment_id=lease.pk, annotator=ann, body={"choice": choice})
    return queue, ann


def build(queue: Queue, **recipe: object) -> RewardDataset:
    ordered = reward_datasets.order(name="set", queues=[queue], recipe=recipe)
    return reward_datasets.build(dataset_id=ordered.pk)


def rows(dataset: RewardDataset, name: str) -> list[dict]:
    return pq.read_table(artifacts.path_of(dataset.artifact) / f"{name}.parquet").to_pylist()


def test_ties_both_bad_and_dev_pairs_go_where_they_belong() -> None:
    queue, _ = judged_queue(0, 1, "tie", "both_bad", 0, splits=("train", "train", "train", "train", "dev"))
    dataset = build(queue)
    assert dataset.status == "ready", dataset.error
    assert dataset.counts["rows"] == {"train": 2, "test": 1, "ties": 1, "kto": 6, "sft": 0}
    assert sum(row["label"] for row in rows(dataset, "kto")) == 2


def test_the_chosen_text_is_the_one_people_chose() -> None:
    queue, _ = judged_queue(1)
    row = rows(build(queue), "train")[0]
    item = queue.items.get()
    assert row["chosen"][0]["content"] == item.ordered_responses()[1].content
    assert (row["probability"], row["margin"], row["votes"], row["tie"]) == (1.0, 0.0, 1, False)
    assert row["judgment_ids"] == [str(Judgment.objects.get().pk)]


def test_the_digest_does_not_depend_on_the_order_of_judgments_in_the_database() -> None:
    queue, _ = judged_queue(*[random.Random(4).choice([0, 1, "tie"]) for _ in range(12)], 0)
    assert build(queue).digest == build(queue).digest
    other = build(queue, min_votes=1, arms=["import"])
    assert other.digest != build(queue).digest  # another recipe is another dataset


def test_a_withdrawn_judgment_changes_the_digest_and_its_return_brings_the_old_one_back() -> None:
    queue, _ = judged_queue(0, 1, 0)
    before = build(queue).digest
    judgment = Judgment.objects.first()
    assert judgment is not None
    judging.withdraw_rows(Judgment.objects.filter(pk=judgment.pk), reason="test", actor=None)
    assert build(queue).digest != before
    Judgment.objects.filter(pk=judgment.pk).update(withdrawn_at=None, gathered_at=None)
    assert build(queue).digest == before


def test_a_dataset_without_a_decisive_pair_fails_in_plain_words_and_leaves_nothing() -> None:
    queue, _ = judged_queue("tie")
    dataset = build(queue)
    assert dataset.status == "failed" and "no decisive train pair" in dataset.error
    assert not [p for p in artifacts.root().glob(".dataset-*")]


def test_unsettled_items_stay_out() -> None:
    queue, ann = judged_queue(0)
    make_item(queue)
    assert build(queue).counts["rows"]["train"] == 1


def test_votes_of_a_decision_never_train() -> None:
    with pytest.raises(Conflict, match="never train"):
        reward_datasets.order(name="x", queues=[make_queue(purpose="gate")])


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ({"min_vote": 1}, "recipe.min_vote"),
        ({"min_votes": 0}, "recipe.min_votes"),
        ({"min_probability": 0.4}, "recipe.min_probability"),
        ({"arms": ["best"]}, "recipe.arms"),
        ({"arms": "control"}, "recipe.arms"),
    ],
)
def test_a_bad_recipe_is_refused_by_field(recipe: dict, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        reward_datasets.order(name="x", queues=[make_queue()], recipe=recipe)
    assert caught.value.details["where"] == where


def test_every_judgment_behind_the_rows_is_listed() -> None:
    queue, _ = judged_queue(0, 1, "tie")
    dataset = build(queue)
    folder = artifacts.path_of(dataset.artifact)
    assert json.loads((folder / "manifest.json").read_text())["judgments"] == 3
    assert list(judgment_list.read(folder)) == sorted(str(pk) for pk in Judgment.objects.values_list("pk", flat=True))


def test_verify_finds_a_changed_file() -> None:
    queue, _ = judged_queue(0)
    dataset = build(queue)
    assert artifacts.verify(dataset.artifact) == []
    (artifacts.path_of(dataset.artifact) / "train.parquet").write_bytes(b"x")
    assert artifacts.verify(dataset.artifact) == ["train.parquet"]
