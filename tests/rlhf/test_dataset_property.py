"""The same judgments and recipe give the same digest: in any order, settled in any portions, there and back."""
# ruff: noqa: E501

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest

from feedback import aggregation, importing
from feedback.formats import Options
from feedback.models import Judgment, Queue
from rlhf import artifacts, lineage, reward_datasets
from rlhf.freezing import exports
from rlhf.models import RewardDataset

pytestmark = [pytest.mark.django_db, pytest.mark.database]
RECIPES = [{}, {"aggregation": "dawid_skene"}, {"aggregation": "bradley_terry"}, {"aggregation": "per_judgment"},
           {"aggregation": "majority", "dedupe": "near", "balance": "length", "max_per_prompt": 1}]  # fmt: skip


def lines(seed: int) -> list[bytes]:
    rng = random.Random(seed)
    topics = ["rivers", "bread", "stars", "law", "moss", "trains", "salt", "wool"]
    return [
        orjson.dumps({
            "prompt": f"Tell me something new about {topic}, would you?", "a": f"{topic} first {n}", "b": f"{topic} second {n}",
            "choice": rng.choice(["a", "a", "b", "tie", "both_bad"]), "who": f"p{rng.randrange(4)}",
        })
        for topic in topics for n in range(2) for _ in range(3)
    ]  # fmt: skip


def bring_in(tmp_path: Path, rows: list[bytes], slug: str = "votes") -> Queue:
    path = tmp_path / f"{slug}.jsonl"
    path.write_bytes(b"\n".join(rows))
    importing.import_preferences(path=path, format="columns", queue_slug=slug, options=Options(annotator_field="who"))
    return Queue.objects.get(slug=slug)


def build(queue: Queue, recipe: dict) -> RewardDataset:
    ordered = reward_datasets.order(name="set", queues=[queue], recipe=recipe)
    built = reward_datasets.build(dataset_id=ordered.pk)
    assert built.status == "ready", built.error
    return built


def test_order_of_arrival_portions_and_a_restart_do_not_change_the_digest(tmp_path: Path, transactional_db: None) -> None:
    rows, digests = lines(1), []
    for seed in range(3):
        from django.core.management import call_command

        call_command("flush", verbosity=0, interactive=False)
        random.Random(seed).shuffle(rows)
        queue = bring_in(tmp_path, rows)
        for _ in range(seed * 4):
            aggregation.gather(limit=1)
        if seed == 2:  # a builder died in the middle: the row is put back and built again
            dead = reward_datasets.order(name="dead", queues=[queue])
            RewardDataset.objects.filter(pk=dead.pk).update(status="building", heartbeat_at="2020-01-01T00:00Z")
            reward_datasets.sweep()
            assert reward_datasets.build(dataset_id=dead.pk).status == "ready"
        digests.append([build(queue, recipe).digest for recipe in RECIPES])
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests[0])) == len(RECIPES)


def test_lifting_a_withdrawal_returns_the_old_digest(tmp_path: Path) -> None:
    queue = bring_in(tmp_path, lines(2))
    before = build(queue, {}).digest
    some = Judgment.objects.filter(annotator="p1")
    lineage.withdraw(judgments=some, reason="asked to")
    assert build(queue, {}).digest != before
    lineage.reinstate(judgments=some, reason="a mistake")
    assert build(queue, {}).digest == before


def test_what_is_exported_and_imported_elsewhere_has_the_same_content(tmp_path: Path) -> None:
    first = build(bring_in(tmp_path, lines(3)), {})
    folder = artifacts.path_of(first.artifact)
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"".join(_all(folder)))
    importing.import_preferences(path=path, format="trl", queue_slug="elsewhere")
    second = build(Queue.objects.get(slug="elsewhere"), {})
    assert second.digest != first.digest
    assert reward_datasets.content_digest(second) == reward_datasets.content_digest(first)


def test_real_pairs_go_there_and_back(tmp_path: Path, test_data: Path) -> None:
    maps = ["prompt=instruction", "input=input", "a=response1", "b=response2", "choice=annotator1,annotator2,annotator3"]
    importing.import_preferences(
        path=test_data / "pandalm_three_annotators.jsonl.gz", format="columns", queue_slug="pandalm", options=Options.parse(maps)
    )
    importing.import_preferences(path=test_data / "hh_harmless_dev.jsonl.gz", format="hh", queue_slug="hh")
    importing.import_preferences(path=test_data / "oasst_100_trees.jsonl.gz", format="oasst", queue_slug="oasst")
    for slug in ("pandalm", "hh", "oasst"):
        first = build(Queue.objects.get(slug=slug), {})
        path = tmp_path / f"{slug}.jsonl"
        path.write_bytes(b"".join(_all(artifacts.path_of(first.artifact))))
        importing.import_preferences(path=path, format="trl", queue_slug=f"{slug}-again")
        second = build(Queue.objects.get(slug=f"{slug}-again"), {})
        assert reward_datasets.content_digest(second) == reward_datasets.content_digest(first), slug
        assert reward_datasets.verify(dataset=first) == []


def _all(folder: Path) -> list[bytes]:
    import pyarrow.parquet as pq

    ties = [
        orjson.dumps(exports._shaped(row, "trl"), option=orjson.OPT_APPEND_NEWLINE)
        for row in pq.read_table(folder / "ties.parquet").to_pylist()
    ]
    return [*exports.stream(folder, "trl", "jsonl", "train"), *exports.stream(folder, "trl", "jsonl", "test"), *ties]
