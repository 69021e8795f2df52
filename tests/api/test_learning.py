"""Datasets, runs, policies going live, decisions and loops over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from feedback.models import Judgment
from rlhf import runs
from rlhf.models import Deployment, Loop, RewardDataset, Run, RunMetric
from tests.api.conftest import Caller
from tests.factories import make_policy, make_queue
from tests.factories_rlhf import (
    make_built_dataset,
    make_dataset,
    make_decision,
    make_deployment,
    make_loop,
    make_reward_model,
    make_run,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def built(settings: Any, tmp_path: Path) -> RewardDataset:
    settings.PLUMBLINE_ARTIFACTS = tmp_path / "artifacts"
    return make_built_dataset()


@pytest.fixture
def tiny(settings: Any, tmp_path: Path) -> None:
    """A base model that policies may name."""
    settings.PLUMBLINE_BASES = {"tiny": str(tmp_path)}


# --- datasets ---
def test_a_dataset_is_ordered_and_built_later(engineer: Caller) -> None:
    make_queue("q")
    status, body = engineer.post("/datasets/", {"name": "first", "queues": ["q"], "recipe": {"min_votes": 2}})
    assert status == 202 and body["status"] == "queued" and body["recipe"]["min_votes"] == 2
    assert engineer.get(f"/datasets/{body['id']}/")[1]["files"] == []
    status, refused = engineer.get(f"/datasets/{body['id']}/files/train.parquet")
    assert (status, refused["error"]["details"]["state"]) == (409, "queued")


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        ({"queues": ["q", "lost"]}, 404, "queues[1]"), ({"queues": []}, 400, "queues"), ({"name": ""}, 400, "name"),
        ({"recipe": {"votes": 1}}, 400, "recipe.votes"), ({"recipe": {"min_votes": 0}}, 400, "recipe.min_votes"),
        ({"recipe": []}, 400, "recipe"),
    ],
)  # fmt: skip
def test_a_wrong_order_names_the_field(engineer: Caller, change: dict[str, Any], status: int, where: str) -> None:
    make_queue("q")
    answer = engineer.post("/datasets/", {"name": "first", "queues": ["q"], **change})
    assert (answer[0], answer[1]["error"]["details"]["where"]) == (status, where)
    assert not RewardDataset.objects.exists()


def test_a_ready_dataset_tells_its_counts_and_manifest(engineer: Caller, built: RewardDataset) -> None:
    _, body = engineer.get(f"/datasets/{built.pk}/")
    assert body["digest"] == body["manifest"]["digest"] == built.digest
    assert body["counts"] == {"train": 7, "dev": 0} and body["rows"]["ties"] == 1
    tables = {"train.parquet", "test.parquet", "ties.parquet", "kto.parquet", "sft.parquet"}
    assert set(body["files"]) == tables | {"judgments.txt", "manifest.json", "README.md"}
    listed = engineer.get("/datasets/")[1]["results"][0]
    assert {"id", "name", "status", "digest", "counts"} <= set(listed) and listed["counts"] == body["counts"]


def test_lineage_goes_from_a_judgment_to_its_dataset_in_ids(engineer: Caller, built: RewardDataset) -> None:
    judgment = str(Judgment.objects.order_by("pk").values_list("pk", flat=True)[0])
    _, body = engineer.get(f"/lineage/judgment/{judgment}/")
    assert [judgment, str(built.pk)] in body["edges"]
    assert {node["type"] for node in body["nodes"]} == {"judgment", "dataset", "policy"}
    _, up = engineer.get(f"/lineage/dataset/{built.pk}/?limit=2")
    assert up["more"] == [{"type": "dataset", "id": str(built.pk), "judgments": 6}]
    assert engineer.get(f"/lineage/judgment/{built.pk}/")[0] == 404
    assert engineer.get(f"/lineage/dataset/{built.pk}/?limit=0")[0] == 400


def test_a_file_comes_whole_and_as_json_lines(engineer: Caller, built: RewardDataset, tmp_path: Path) -> None:
    whole = b"".join(engineer.call("GET", f"/datasets/{built.pk}/files/train.parquet").streaming_content)
    (tmp_path / "copy.parquet").write_bytes(whole)
    rows = pq.read_table(tmp_path / "copy.parquet").to_pylist()
    lines = engineer.call("GET", f"/datasets/{built.pk}/files/train.parquet?format=jsonl").streaming_content
    assert [json.loads(line) for line in b"".join(lines).splitlines()] == rows
    assert len(rows) == 7 and {"prompt", "chosen", "rejected", "margin", "judgment_ids"} <= set(rows[0])


@pytest.mark.parametrize("name", ["artifact.json", "..%2f..%2fsecret_key", "train.csv"])
def test_a_file_that_is_none_of_its_own_is_404(engineer: Caller, built: RewardDataset, name: str) -> None:
    assert engineer.get(f"/datasets/{built.pk}/files/{name}")[0] == 404


# --- runs ---
def test_a_run_is_ordered_by_the_datasets_digest_name_or_id(engineer: Caller, tiny: None) -> None:
    dataset = make_dataset("first")
    for ref in (dataset.digest, "first", str(dataset.pk)):
        status, body = engineer.post("/runs/", {"kind": "reward", "dataset": ref, "base": "tiny"})
        assert status == 202, body
        assert (body["kind"], body["status"], body["dataset"]) == ("reward", "queued", dataset.digest)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"kind": "ppo"}, 400), ({"dataset": "lost"}, 404), ({"base": "lost"}, 404), ({"kind": "dpo"}, 404),
        ({"config": {"learning": 1}}, 400), ({"seed": -1}, 400), ({"config": 5}, 400), ({"dataset": "waiting"}, 409),
    ],
)  # fmt: skip
def test_a_wrong_run_is_refused_and_not_stored(
    engineer: Caller, tiny: None, change: dict[str, Any], status: int
) -> None:
    make_dataset("first"), make_dataset("waiting", status="queued", digest="")
    answer = engineer.post("/runs/", {"kind": "reward", "dataset": "first", "base": "tiny", **change})
    assert answer[0] == status, answer
    assert not Run.objects.exists()


def test_metrics_and_log_of_a_run(engineer: Caller) -> None:
    run = make_run(log_tail="step 1\n")
    at = timezone.now()
    RunMetric.objects.create(run=run, step=2, name="loss", value=0.5, at=at)
    RunMetric.objects.create(run=run, step=1, name="loss", value=0.7, at=at)
    _, rows = engineer.get(f"/runs/{run.pk}/metrics/")
    assert [(row["step"], row["name"], row["value"]) for row in rows] == [(1, "loss", 0.7), (2, "loss", 0.5)]
    assert engineer.get(f"/runs/{run.pk}/log/")[1] == {"log": "step 1\n"}


def test_a_run_is_cancelled_once_and_resumed(engineer: Caller) -> None:
    run = make_run()
    status, body = engineer.post(f"/runs/{run.pk}/cancel/")
    assert (status, body["status"]) == (202, "cancelled")
    assert engineer.post(f"/runs/{run.pk}/cancel/")[0] == 409
    assert engineer.post(f"/runs/{run.pk}/resume/")[1]["status"] == "queued"


def test_reward_models_are_listed_with_their_figures(engineer: Caller) -> None:
    make_reward_model("head", figures={"accuracy": 0.7})
    row = engineer.get("/reward-models/")[1]["results"][0]
    assert row["slug"] == "head" and row["figures"] == {"accuracy": 0.7}


# --- going live ---
def test_the_first_policy_of_an_alias_goes_live_and_the_next_needs_a_decision(engineer: Caller) -> None:
    first, second = make_policy("first"), make_policy("second")
    assert engineer.post("/policies/first/promote/")[1]["kind"] == "start"
    assert engineer.post("/policies/second/promote/")[0] == 409
    make_decision(candidate=second, live=first, status="promoted")
    status, body = engineer.post("/policies/second/promote/", {"alias": "production"})
    assert (status, body["previous"], body["kind"]) == (200, "first", "promote")
    assert engineer.post("/deployments/production/rollback/", {"reason": "complaints"})[1]["policy"] == "first"
    assert Deployment.objects.get().policy == first


def test_force_needs_a_reason_and_is_on_record(engineer: Caller) -> None:
    make_deployment(make_policy("first")), make_policy("second")
    assert engineer.post("/policies/second/promote/", {"force": True})[0] == 403
    status, body = engineer.post("/policies/second/promote/", {"force": True, "reason": "the old one swears"})
    assert (status, body["kind"], body["reason"]) == (200, "forced", "the old one swears")


def test_what_is_not_there_cannot_go_live_or_back(engineer: Caller) -> None:
    assert engineer.post("/policies/lost/promote/")[0] == 404
    assert engineer.post("/deployments/lost/rollback/")[0] == 404
    make_deployment()
    assert engineer.post("/deployments/production/rollback/")[0] == 409


def test_decisions_lead_with_their_sentence(engineer: Caller) -> None:
    decision = make_decision()
    row = engineer.get("/decisions/")[1]["results"][0]
    assert row["id"] == str(decision.pk) and row["status"] == "voting" and row["sentence"]


# --- loops ---
def loop_body(**change: Any) -> dict[str, Any]:
    body = {"slug": "l", "queue": "q", "policy": "base", "alias": "live", "config": {"every": 5},
            "prompt_filter": {"workspace": "w"}}  # fmt: skip
    return {**body, **change}


def test_the_same_loop_is_200_and_another_body_409(engineer: Caller, tiny: None) -> None:
    make_queue("q"), make_policy("base", kind="local", base="tiny")
    status, body = engineer.post("/loops/", loop_body())
    assert status == 201 and body["round"]["number"] == 1 and body["config"]["every"] == 5
    assert engineer.post("/loops/", loop_body())[0] == 200
    assert engineer.post("/loops/", loop_body(config={"every": 6}))[0] == 409
    assert engineer.post("/loops/", loop_body(slug="m"))[0] == 409, "one loop an alias"
    assert Loop.objects.get().prompt_filter == {"metadata__workspace": "w"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"queue": "lost"}, 404), ({"policy": "lost"}, 404), ({"policy": "writer"}, 400),
        ({"config": {"evry": 5}}, 400), ({"config": {"every": 0}}, 400), ({"slug": "l l"}, 400),
        ({"prompt_filter": {"a__regex": ".*"}}, 400), ({"prompt_filter": {"a__": 1}}, 400), ({"demo": True}, 400),
    ],
)  # fmt: skip
def test_a_wrong_loop_is_refused(engineer: Caller, tiny: None, change: dict[str, Any], status: int) -> None:
    make_queue("q"), make_policy("base", kind="local", base="tiny"), make_policy("writer")
    assert engineer.post("/loops/", loop_body(**change))[0] == status
    assert not Loop.objects.exists()


def test_a_tick_says_what_the_loop_waits_for(engineer: Caller) -> None:
    make_loop("l")
    status, body = engineer.post("/loops/l/tick/")
    assert status == 200 and "waiting for 120 more preferences" in body["waiting_for"]
    assert engineer.get("/loops/l/")[1]["waiting_for"] == body["waiting_for"]


def test_a_policy_trained_elsewhere_is_registered_and_evaluated(engineer: Caller, settings: Any) -> None:
    settings.PLUMBLINE_EVALUATORS = {"house": "true"}
    base, dataset = make_policy("mine", kind="local", base="toy"), make_dataset()
    order = {"kind": "external", "dataset": dataset.digest, "artifact": "org/model", "base": "mine",
             "metrics": {"accuracy": 0.7}, "slug": "theirs"}  # fmt: skip
    status, run = engineer.post("/runs/", order)
    assert (status, run["kind"], run["queue"]) == (202, "external", "default"), run
    runs.execute(run_id=run["id"])
    done = engineer.get(f"/runs/{run['id']}/")[1]
    assert (done["status"], done["produced_policy"], done["policy"]) == ("done", "theirs", base.slug)
    assert done["result"]["figures"]["accuracy"]["value"] == 0.7
    for wrong, code in (({"artifact": ""}, 400), ({"artifact": "/etc"}, 400), ({"base": "nobody"}, 404)):
        assert engineer.post("/runs/", {**order, "slug": "", **wrong})[0] == code
    assert engineer.post("/runs/", {**order, "kind": "convert"})[0] == 400

    figures = {"gsm8k": {"value": 0.4, "se": 0.01, "n": 1319}}
    status, row = engineer.post("/evaluations/", {"policy": "theirs", "evaluator": "lm-eval", "figures": figures})
    assert (status, row["figures"]) == (201, figures)
    assert engineer.post("/evaluations/", {"policy": "theirs", "evaluator": "house"})[0] == 400  # no weights here
    assert engineer.post("/evaluations/", {"policy": "mine", "evaluator": "gone"})[0] == 404
    listed = engineer.get("/evaluations/?policy=theirs")[1]["results"]
    assert [row["evaluator"] for row in listed] == ["lm-eval", "reported with the run"]
