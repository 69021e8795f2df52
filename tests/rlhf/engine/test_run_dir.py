from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf.engine.run_dir import RunDir, UserError, append_line, read_lines, read_rows


def test_a_line_cut_short_by_a_kill_spoils_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "to')
    append_line(path, {"step": 2})
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


def test_progress_carries_step_total_time_and_metrics(tmp_path: Path) -> None:
    RunDir(tmp_path).progress(3, 9, {"loss": 0.5}, phase="train")
    line = json.loads((tmp_path / "progress.jsonl").read_text())
    assert line.pop("at").endswith("+00:00")
    assert line == {"step": 3, "total": 9, "metrics": {"loss": 0.5}, "phase": "train"}


def test_an_artifact_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    with pytest.raises(RuntimeError), run_dir.publishing() as out:
        (out / "half").write_text("x")
        raise RuntimeError
    assert not run_dir.out.exists()
    with run_dir.publishing() as out:
        (out / "whole").write_text("x")
    assert [path.name for path in run_dir.out.iterdir()] == ["whole"]


@pytest.mark.parametrize(
    ("text", "line"),
    [('{"id": 1}\n{"id": \n', 2), ('{"id": 1}\n\n{"no": 1}\n', 3), ('{"id": 1}\n7\n', 2)],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "texts.jsonl").write_text(text)
    with pytest.raises(UserError) as caught:
        read_rows(tmp_path / "texts.jsonl", ("id",))
    assert caught.value.field == f"inputs/texts.jsonl:{line}"


def test_no_rows_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no rows"):
        read_rows(tmp_path / "texts.jsonl", ("id",))
