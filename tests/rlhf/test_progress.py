from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf import progress
from tests.factories_rlhf import make_run


def line(step: int, **metrics: Any) -> str:
    return json.dumps({"step": step, "total": 9, "at": 1.0, "metrics": metrics}) + "\n"


@pytest.mark.django_db
def test_the_later_line_of_a_step_wins_and_a_partial_line_waits(tmp_path: Path) -> None:
    run, path = make_run(), tmp_path / "progress.jsonl"
    path.write_text(line(1, loss=3.0) + line(1, loss=2.0) + line(2, loss=1.0)[:9])
    reader = progress.Reader(path)
    assert progress.store(run, reader.new()) == {"step": 1, "total_steps": 9, "phase": ""}
    assert [m.value for m in run.metrics.all()] == [2.0]
    with path.open("a") as stream:
        stream.write(line(2, loss=1.0)[9:])
    progress.store(run, reader.new())
    assert [m.value for m in run.metrics.order_by("step")] == [2.0, 1.0]
    assert reader.new() == []


@pytest.mark.django_db
def test_figures_that_are_no_numbers_are_passed_over() -> None:
    run = make_run()
    row = {"step": 1, "total": 2, "metrics": {"loss": float("nan"), "kl": float("inf"), "name": "x", "lr": 1e-4}}
    progress.store(run, [row])
    assert list(run.metrics.values_list("name", flat=True)) == ["lr"]


def test_lines_that_a_kill_garbled_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text(line(1) + '{"step": 2, "to\n' + "[]\n" + '{"step": -1, "total": 3}\n' + line(3))
    assert [row["step"] for row in progress.Reader(path).new()] == [1, 3]
    assert progress.steps_seen(tmp_path) == 2


def test_the_log_tail_can_be_that_of_one_attempt(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"first attempt\nsecond\x00 attempt\n")
    assert progress.log_tail(tmp_path, since=14) == "second attempt\n"
    assert "first" in progress.log_tail(tmp_path)


def test_json_is_made_fit_for_a_database() -> None:
    said = {"a\x00": ["x\x00", float("nan"), float("-inf"), 1.5, None, True]}
    assert progress.storable(said) == {"a": ["x", None, None, 1.5, None, True]}
