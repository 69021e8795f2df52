"""How a job ends: exit codes, error files, locks. No learning library is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf.engine import job
from rlhf.engine.job import Outcome
from rlhf.engine.run_dir import RunDir, Stopped, UserError
from rlhf.spec import Spec
from tests.rlhf.engine.runs import make_run, result, work


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the job's function will do: return the first element, or raise it."""
    planned: list[object] = [Outcome()]

    def run(run_dir: RunDir, spec: Spec) -> Outcome:
        if isinstance(planned[0], Exception):
            raise planned[0]
        assert isinstance(planned[0], Outcome)
        return planned[0]

    monkeypatch.setattr(job, "_function_of", lambda kind: run)
    monkeypatch.setattr(job, "_prepare_libraries", lambda seed: None)
    return planned


def error(run_dir: Path) -> dict[str, str]:
    data: dict[str, str] = json.loads((run_dir / "error.json").read_text())
    return data


def test_a_job_that_ends_well_writes_its_figures(tmp_path: Path, outcome: list[object]) -> None:
    outcome[0] = Outcome({"accuracy": 0.6}, {"dropped": 2}, tokens=5)
    run_dir = make_run(tmp_path / "run", "dpo", {})
    assert work(run_dir) == 0
    written = result(run_dir)
    assert written["figures"] == {"accuracy": 0.6}
    assert written["rows"] == {"dropped": 2, "truncated": 0}
    assert written["versions"]["torch"] and written["peak_memory_mb"] > 0


def test_an_unknown_key_is_the_users_error_and_names_the_field(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run", "dpo", {"epochs": 3})
    assert work(run_dir) == 20
    assert (error(run_dir)["code"], error(run_dir)["field"]) == ("bad_spec", "config.epochs")


def test_a_users_error_is_written_with_its_field(tmp_path: Path, outcome: list[object]) -> None:
    outcome[0] = UserError("diverged", "a lower rate may help", "config.lr")
    run_dir = make_run(tmp_path / "run", "dpo", {})
    assert work(run_dir) == 20
    assert error(run_dir) == {"code": "diverged", "message": "a lower rate may help", "field": "config.lr"}
    assert not (run_dir / "result.json").exists()


def test_an_error_of_the_past_goes_when_the_job_succeeds(tmp_path: Path, outcome: list[object]) -> None:
    run_dir = make_run(tmp_path / "run", "dpo", {})
    (run_dir / "error.json").write_text("{}")
    assert work(run_dir) == 0
    assert not (run_dir / "error.json").exists()


def test_a_stopped_job_says_so(tmp_path: Path, outcome: list[object]) -> None:
    outcome[0] = Stopped()
    assert work(make_run(tmp_path / "run", "dpo", {})) == 10


def test_a_stop_file_is_seen_before_the_work_starts(tmp_path: Path, outcome: list[object]) -> None:
    run_dir = make_run(tmp_path / "run", "dpo", {})
    (run_dir / "stop").touch()
    assert work(run_dir) == 10
    assert not (run_dir / "result.json").exists()


def test_a_finished_job_is_not_done_again(tmp_path: Path, outcome: list[object]) -> None:
    outcome[0] = RuntimeError("must not run")
    run_dir = make_run(tmp_path / "run", "dpo", {})
    (run_dir / "result.json").write_text("{}")
    assert work(run_dir) == 0


def test_a_second_engine_on_the_same_directory_is_turned_away(tmp_path: Path, outcome: list[object]) -> None:
    run_dir = make_run(tmp_path / "run", "dpo", {})
    with RunDir(run_dir).locked():
        assert work(run_dir) == 75
    assert work(run_dir) == 0


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        RunDir(tmp_path).input("base")
    assert (caught.value.code, caught.value.field) == ("missing_input", "inputs/base")


def test_no_directory_is_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main(["/nowhere"]) == 20
    assert "usage" in capsys.readouterr().err


def test_the_door_itself_loads_no_learning_library() -> None:
    code = "import rlhf.engine.job, sys; sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
