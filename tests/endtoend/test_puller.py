"""A second process with only an address and a token carries out runs: it is killed, comes back, and is replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from api import tokens
from rlhf import artifacts, runs
from rlhf.models import Base, Run
from tests.endtoend.site import ROOT, wait_for
from tests.factories import make_policy, make_prompt, make_user
from tests.rlhf.scripted import ENGINE, scripted  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("scripted"),
    pytest.mark.timeout(600),
]
PRELUDE = f"""
import pathlib, runpy, sys
folder = pathlib.Path(sys.argv[1])
script = pathlib.Path({{script!r}})
(folder / "script.json").write_text(script.read_text() if script.exists() else "{{{{}}}}")
sys.argv = ["scripted_engine.py", str(folder)]
runpy.run_path({str(ENGINE)!r}, run_name="__main__")
"""


class Box:
    """A machine with a work directory, an address, a token, and nothing else of the site's."""

    def __init__(self, url: str, folder: Path, scope: str = "pull") -> None:
        self.folder, self.script = folder, folder / "script.json"
        folder.mkdir()
        self.token = tokens.create(user=make_user(role="engineer"), scope=scope)[1]
        self.url = url
        (folder / "engine.py").write_text(PRELUDE.format(script=str(self.script)))

    def start(self, *options: str, launcher: str = "") -> subprocess.Popen[bytes]:
        ours = ("PLUMBLINE_", "DATABASE_", "REDIS_", "DJANGO_", "TEST_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        launcher = launcher or f"{{python}} {self.folder / 'engine.py'} {{run_dir}}"
        return subprocess.Popen(
            [sys.executable, "-m", "rlhf.puller", "--url", self.url, "--token", self.token, "--queue", "gpu",
             "--workdir", str(self.folder / "work"), "--launcher", launcher, *options],
            cwd=ROOT, env=environment, stdout=(self.folder / "log").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def loaded(self, process: subprocess.Popen[bytes]) -> str:
        return Path(f"/proc/{process.pid}/maps").read_text()


@pytest.fixture
def box(live_server: Any, tmp_path: Path) -> Iterator[Box]:
    yield Box(live_server.url, tmp_path / "box")


def once(box: Box, **start: str) -> None:
    process = box.start("--once", **start)
    assert process.wait(timeout=300) == 0, box.said()


def toy_run() -> Run:
    return runs.start(kind="convert", base="toy", queue="gpu")


def test_a_run_is_pulled_carried_out_and_published_with_only_an_address_and_a_token(box: Box) -> None:
    run = toy_run()
    script = {"progress": [{"loss": 2.0}, {"loss": 1.0}], "weights": "from afar"}
    samples = [{"step": 2, "prompt": "Hi?", "content": "Hello."}]
    box.script.write_text(json.dumps(script | {"samples": samples}))
    once(box)
    run.refresh_from_db()
    assert (run.status, run.attempt, run.step) == ("done", 1, 2), (run.note, box.said())
    assert run.owner.startswith("pull:")
    assert list(run.metrics.order_by("step").values_list("value", flat=True)) == [2.0, 1.0]
    assert [sample.content for sample in run.samples.all()] == ["Hello."]
    assert (artifacts.path_of(run.artifact) / "weights.txt").read_text() == "from afar"
    assert Base.objects.get(name="toy").digest == run.artifact
    assert not list((box.folder / "work" / "runs").iterdir())
    once(box)  # nothing waits: it says so and ends
    assert "0 runs carried out" in box.said()


def test_the_real_engine_trains_there_and_a_policy_answers_from_what_it_made(box: Box, settings: Any) -> None:
    made = runs.start(kind="pretrain", base="tiny", config={"steps": 3, "examples": 200}, queue="gpu")
    once(box, launcher="{python} -m rlhf.engine {run_dir}")
    made.refresh_from_db()
    assert made.status == "done", (made.note, made.log_tail, box.said())
    policy, prompt = make_policy("far", kind="local", base="tiny", decoding={"max_new_tokens": 4}), make_prompt()
    run = runs.start(
        kind="generate", policy=policy, inputs={"prompts": {prompt.key: [0, 1]}}, queue="gpu",
        config={"decoding": {"max_new_tokens": 4}},
    )  # fmt: skip
    once(box, launcher="{python} -m rlhf.engine {run_dir}")
    run.refresh_from_db()
    assert run.status == "done", (run.note, run.log_tail, box.said())
    assert policy.responses.count() == 2 and run.result["versions"]["torch"]


def test_a_puller_that_is_killed_goes_on_with_its_run_when_it_comes_back(box: Box) -> None:
    run = toy_run()
    box.script.write_text(json.dumps({"seconds": 60, "progress": [{"loss": 2.0}]}))
    process = box.start()
    wait_for(lambda: Run.objects.get(pk=run.pk).step == 1, 60, "the first step")
    assert "torch" not in box.loaded(process) and "django" not in box.loaded(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    box.script.write_text("{}")
    once(box)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("done", 1), (run.note, box.said())


def test_a_puller_whose_run_was_given_away_meanwhile_drops_it(box: Box, tmp_path: Path, live_server: Any) -> None:
    run = toy_run()
    box.script.write_text(json.dumps({"seconds": 60, "weights": "stale"}))
    slow = box.start()
    wait_for(lambda: Run.objects.get(pk=run.pk).status == "running", 60, "the claim")
    slow.send_signal(signal.SIGSTOP)
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    runs.sweep()
    other = Box(live_server.url, tmp_path / "other")
    other.script.write_text(json.dumps({"weights": "fresh"}))
    once(other)
    slow.send_signal(signal.SIGCONT)
    wait_for(lambda: "was lost" in box.said(), 60, "the loss")
    slow.terminate()
    assert slow.wait(timeout=30) == 0
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("done", 2)
    assert (artifacts.path_of(run.artifact) / "weights.txt").read_text() == "fresh"


def test_a_cancel_on_the_site_stops_the_engine_there(box: Box) -> None:
    run = toy_run()
    box.script.write_text(json.dumps({"seconds": 60}))
    process = box.start("--once")
    wait_for(lambda: Run.objects.get(pk=run.pk).status == "running", 60, "the claim")
    run.refresh_from_db()
    runs.cancel(run=run)
    assert process.wait(timeout=60) == 0, box.said()
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_stopping_a_puller_saves_and_puts_its_run_back(box: Box) -> None:
    run = toy_run()
    box.script.write_text(json.dumps({"seconds": 60}))
    process = box.start()
    wait_for(lambda: Run.objects.get(pk=run.pk).status == "running", 60, "the claim")
    wait_for(lambda: list(box.folder.glob("work/runs/*/log.txt")), 60, "the engine")
    process.terminate()
    assert process.wait(timeout=60) == 0, box.said()
    run.refresh_from_db()
    assert run.status == "queued" and list(box.folder.glob("work/runs/*"))


def test_a_pullers_token_opens_nothing_else_and_a_wrong_one_is_refused_in_one_line(
    box: Box, live_server: Any, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {box.token}"}
    for path in ("runs/", "policies/", "datasets/"):
        answer = httpx.get(f"{live_server.url}/api/v1/{path}", headers=headers)
        assert (answer.status_code, "scope pull" in answer.text) == (403, True)
    box.token = "pl_wrong"
    assert box.start("--once").wait(timeout=60) == 1
    assert box.said().strip().splitlines()[-1].startswith("puller: HTTP 401")


def test_a_machine_that_cannot_start_the_engine_is_one_clear_line_on_the_run(box: Box) -> None:
    run = toy_run()
    once(box, launcher="no-such-srun {run_dir}")
    run.refresh_from_db()
    assert (run.status, run.error["code"]) == ("failed", "puller") and "no-such-srun" in run.note


def test_bytes_that_are_here_already_are_not_downloaded(box: Box, settings: Any, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text(name)
    settings.PLUMBLINE_BASES = {"theirs": str(model)}
    policy = make_policy(kind="local", base="theirs")
    runs.start(kind="generate", policy=policy, inputs={"prompts": {make_prompt().key: [0]}}, queue="gpu")
    box.script.write_text(json.dumps({"error": {"code": "enough", "message": "that is all"}}))
    process = box.start("--once", "--have", str(model))
    assert process.wait(timeout=60) == 0, box.said()
    assert len(list((box.folder / "work" / "files").iterdir())) == 1  # prompts.jsonl alone
    assert Run.objects.get().note == "that is all"
