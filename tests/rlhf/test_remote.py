"""A run handed out over HTTP: what the site does with what a puller says."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from feedback.errors import BadInput, NotFound, StaleTransition
from rlhf import artifacts, attempts, remote, run_dirs, runs
from rlhf.models import Base, Run
from tests.factories import make_policy, make_prompt
from tests.rlhf.scripted import scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("scripted")]
SHA = hashlib.sha256(b"weights").hexdigest()


def waiting(queue: str = "gpu") -> Run:
    return runs.start(kind="convert", base="toy", queue=queue)


def pulled(queue: str = "gpu") -> Run:
    waiting(queue)
    run = remote.pull(queue=queue, worker="box")
    assert run is not None
    return run


def put(run: Run, name: str = "model/weights.txt", content: bytes = b"weights", sha256: str = SHA) -> None:
    remote.receive(run, name=name, sha256=sha256, chunks=[content[:3], content[3:]])


def test_the_oldest_run_of_the_queue_is_claimed_once() -> None:
    other, first = waiting("train"), waiting()
    waiting()
    run = remote.pull(queue="gpu", worker="box")
    assert run == first and (run.status, run.attempt, run.owner) == ("running", 1, "pull:box")
    assert remote.pull(queue="gpu", worker="box") is not None
    assert remote.pull(queue="gpu", worker="box") is None
    other.refresh_from_db()
    assert other.status == "queued"


def test_what_cannot_start_yet_is_passed_over_and_says_why() -> None:
    waiting("train")
    policy = make_policy(kind="local", base="toy")
    stuck = runs.start(kind="generate", policy=policy, inputs={"prompts": {}}, queue="gpu")
    assert remote.pull(queue="gpu", worker="box") is None
    stuck.refresh_from_db()
    assert (stuck.status, stuck.note) == ("queued", "waiting for the base model toy")


def test_every_input_is_listed_with_its_digest_and_nothing_else_can_be_read(settings: Any, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text(name)
    settings.PLUMBLINE_BASES = {"theirs": str(model)}
    prompt, policy = make_prompt(), make_policy(kind="local", base="theirs")
    runs.start(kind="generate", policy=policy, inputs={"prompts": {prompt.key: [0]}}, queue="gpu")
    run = remote.pull(queue="gpu", worker="box")
    assert run is not None
    listed = {entry["name"]: entry for entry in remote.files(run)}
    assert sorted(listed) == ["base/config.json", "base/model.safetensors", "prompts.jsonl"]
    for name, entry in listed.items():
        content = remote.input_file(run, name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"])
    for name in ("spec.json", "../spec.json", "base/../../spec.json", "/etc/passwd"):
        with pytest.raises(NotFound):
            remote.input_file(run, name)


def test_progress_reaches_the_rows_and_a_cancel_reaches_the_puller() -> None:
    run = pulled()
    lines = [{"step": 1, "total": 9, "metrics": {"loss": 2.0}}, "garbage", {"step": 2, "total": 9}]
    samples = [{"step": 2, "prompt": "Hi?", "content": "Hello."}, {"step": 2}]
    assert remote.report(run, lines=lines, log="all is well", samples=samples) is False
    assert [sample.content for sample in run.samples.all()] == ["Hello."]
    now = Run.objects.get(pk=run.pk)
    assert (now.step, now.total_steps, now.log_tail, now.metrics.count()) == (2, 9, "all is well", 1)
    assert now.heartbeat_at is not None and now.heartbeat_at > timezone.now()
    runs.cancel(run=now)
    assert remote.report(run, lines=[], log="") is True
    ended = remote.conclude(run_id=run.pk, attempt=1, code=10, outputs={})
    assert ended.status == "cancelled"


def test_an_output_whose_digests_are_right_becomes_the_artifact_and_a_second_end_changes_nothing() -> None:
    run = pulled()
    put(run)
    for _ in range(2):
        done = remote.conclude(
            run_id=run.pk, attempt=1, code=0, outputs={"model/weights.txt": SHA}, result={"figures": {"loss": 1.0}}
        )
        assert (done.status, done.result["figures"]) == ("done", {"loss": 1.0})
    assert (artifacts.path_of(done.artifact) / "model" / "weights.txt").read_bytes() == b"weights"
    assert Base.objects.get(name="toy").digest == done.artifact
    assert not list(artifacts.root().glob(".incoming-*"))


def test_what_arrives_otherwise_than_announced_is_refused() -> None:
    run = pulled()
    with pytest.raises(BadInput, match="another sha256"):
        put(run, content=b"something else")
    for name in ("../evil", "/etc/x", "a/../../b", ".hidden", ""):
        with pytest.raises(BadInput):
            put(run, name=name)
    put(run)
    for outputs, says in (({}, "was not announced"), ({"model/weights.txt": SHA, "more": SHA}, "did not arrive")):
        with pytest.raises(BadInput, match=says):
            remote.conclude(run_id=run.pk, attempt=1, code=0, outputs=outputs, result={})
    run.refresh_from_db()
    assert run.status == "running" and not Base.objects.exists()


def test_an_attempt_that_was_given_to_somebody_else_says_and_publishes_nothing() -> None:
    run = pulled()
    put(run)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    runs.sweep()
    again = remote.pull(queue="gpu", worker="other")
    assert again is not None and again.attempt == 2
    with pytest.raises(StaleTransition):
        remote.held(run_id=run.pk, attempt=1)
    with pytest.raises(StaleTransition):
        remote.report(run, lines=[], log="")
    with pytest.raises(StaleTransition):
        remote.conclude(run_id=run.pk, attempt=1, code=0, outputs={"model/weights.txt": SHA}, result={})
    assert not Base.objects.exists()
    assert not remote.incoming(run).exists()  # the new claim swept it away


def test_a_run_of_our_own_workers_is_no_pullers() -> None:
    run = waiting()
    attempts.claim(run, owner="host:1")
    with pytest.raises(StaleTransition):
        remote.held(run_id=run.pk, attempt=1)


def test_a_crash_elsewhere_is_told_like_one_here() -> None:
    run = pulled()
    ended = remote.conclude(run_id=run.pk, attempt=1, code=1, outputs={}, log="MemoryError")
    assert (ended.status, ended.error["code"]) == ("failed", "out_of_memory")


def test_inputs_are_laid_out_again_where_another_machine_did_it(tmp_path: Path, settings: Any) -> None:
    prompt = make_prompt()
    (tmp_path / "m").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "m" / name).write_text(name)
    settings.PLUMBLINE_BASES = {"theirs": str(tmp_path / "m")}
    policy = make_policy(kind="local", base="theirs")
    runs.start(kind="generate", policy=policy, inputs={"prompts": {prompt.key: [0]}}, queue="gpu")
    run = remote.pull(queue="gpu", worker="box")
    assert run is not None
    before = remote.files(run)
    run_dirs.run_dir(run).rename(tmp_path / "another machine's disk")
    assert remote.files(run) == before
