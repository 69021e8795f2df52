"""A run done again from its recipe gives the same artifact: the head to the byte, DPO as closely as floats allow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from feedback.errors import BadInput, Conflict
from rlhf import artifacts, digests, reproducing, runs
from rlhf.models import Run
from tests.factories import make_policy
from tests.factories_rlhf import make_built_dataset, make_run
from tests.rlhf.engine.runs import ROOT
from tests.rlhf.scripted import carried_out, ordered, scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted")]


@pytest.mark.slow
def test_a_head_done_again_in_another_place_is_the_same_to_the_byte(
    settings: Any, tmp_path: Path, tiny_model: Path
) -> None:
    run, again = done_twice("reward", settings, tmp_path, tiny_model, {})
    assert digests.combined("reward", digests.files_of(again / "out")) == run.artifact
    assert set(run.stands_on) == {"base", "dataset"} and run.result["versions"]["torch"]


@pytest.mark.slow
def test_dpo_done_again_in_another_place_is_as_close_as_floats_allow(
    settings: Any, tmp_path: Path, tiny_model: Path
) -> None:
    from safetensors.numpy import load_file

    config = {"max_steps": 3, "warmup_steps": 0, "lr": 1e-3}
    run, again = done_twice("dpo", settings, tmp_path, tiny_model, config)
    first = load_file(artifacts.path_of(run.artifact) / "0" / "adapter_model.safetensors")
    second = load_file(again / "out" / "0" / "adapter_model.safetensors")
    assert first.keys() == second.keys() and first
    assert max(abs(first[name] - second[name]).max() for name in first) < 1e-5


def done_twice(kind: str, settings: Any, tmp_path: Path, tiny_model: Path, config: dict[str, Any]) -> tuple[Run, Path]:
    """The run as a worker did it, and a stand-alone directory in which the engine did it again, without Django."""
    settings.PLUMBLINE_LAUNCHER = "{python} -m rlhf.engine {run_dir}"
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    policy = make_policy("mine", kind="local", base="tiny")
    run = runs.start(kind=kind, dataset=make_built_dataset(), policy=policy, config=config, seed=4)
    assert carried_out(run).status == "done", (run.note, run.log_tail)
    call_command("reproduce", str(run.pk), "--into", str(tmp_path / "again"), "--copy")
    shutil.move(tmp_path / "again", tmp_path / "elsewhere")
    code = (
        "import sys; from rlhf.engine.job import main; c = main(sys.argv[1:]); sys.exit(c or 'django' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "elsewhere")], cwd=ROOT, check=True)
    return run, tmp_path / "elsewhere"


def test_what_differs_from_the_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = carried_out(ordered())
    versions = {"numpy": "0.0.1", "no-such-package": "1"}
    Run.objects.filter(pk=run.pk).update(
        stands_on={"pairs.jsonl": {"sha256": "x", "bytes": 1}}, result={"versions": versions}
    )
    call_command("reproduce", str(run.pk), "--into", str(tmp_path / "again"))
    said = capsys.readouterr()
    assert "inputs/pairs.jsonl is not what the run read" in said.err
    assert "the run used 0.0.1" in said.err and "no-such-package is not installed here" in said.err
    assert said.out.strip().endswith(f"-m rlhf.engine {tmp_path / 'again'}")
    kept = json.loads((tmp_path / "again" / "reproduce.json").read_text())
    assert kept["artifact"] == run.artifact and kept["seed"] == run.seed


def test_the_commands_of_a_run_are_a_shells(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_built_dataset()
    policy = make_policy("mine", kind="local", base="toy")
    run = make_run("dpo", dataset=dataset, policy=policy, config={"lr": 1e-4}, seed=3)
    call_command("reproduce", str(run.pk))
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == f"bin/manage reproduce {run.pk} --into DIR"
    assert lines[2].startswith(f"bin/manage train dpo --dataset {dataset.digest} --base mine --seed 3 --config <(echo ")
    words = lines[2].split("--config ")[1].split(" --wait")[0]
    config = subprocess.run(["bash", "-c", f"cat {words}"], capture_output=True)
    assert json.loads(config.stdout) == {"lr": 1e-4}


def test_nothing_is_laid_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(BadInput, match="not an empty directory"):
        reproducing.lay_out(run=ordered(), into=tmp_path)
    with pytest.raises(Conflict, match="external"):
        reproducing.lay_out(run=make_run("external"), into=tmp_path / "new")
    with pytest.raises(CommandError, match="no run's id"):
        call_command("reproduce", "x")
