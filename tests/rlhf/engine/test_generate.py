from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rlhf.engine.runs import lines, make_run, prompt_rows, result, work, write_lines

torch = pytest.importorskip("torch")

from rlhf.engine import generate  # noqa: E402
from rlhf.engine.score import favourites  # noqa: E402

DECODING = {"temperature": 0.9, "top_p": 0.95, "max_new_tokens": 16}


def generate_run(path: Path, base: Path, rows: list[dict[str, Any]], **config: Any) -> Path:
    prompts = write_lines(path.with_suffix(".jsonl"), rows)
    config = {"batch_size": 4, "decoding": DECODING} | config
    return make_run(path, "generate", config, base=base, prompts_jsonl=prompts)


def test_best_of_picks_the_best_by_mean_less_spread() -> None:
    draws = np.array([[1.0, 1.0], [4.0, -4.0], [2.0, 2.0], [5.0, 1.0]])
    assert favourites([["a", "b"], ["c", "d"]], draws, penalty=1.0) == ["a", "c"]
    assert favourites([["a", "b"], ["c", "d"]], draws, penalty=0.0) == ["a", "d"]


@pytest.mark.slow
def test_every_prompt_and_draw_is_answered_once(tmp_path: Path, tiny_model: Path) -> None:
    run_dir = generate_run(tmp_path / "run", tiny_model, prompt_rows(5, draws=3))
    assert work(run_dir) == 0
    answers = lines(run_dir / "out" / "responses.jsonl")
    assert [(a["prompt"], a["draw"]) for a in answers] == [(f"{i:03}", d) for i in range(5) for d in range(3)]
    assert {a["finish_reason"] for a in answers} <= {"stop", "length"}
    assert all(a["completion_tokens"] <= 16 for a in answers)
    assert result(run_dir)["tokens"] == sum(a["completion_tokens"] for a in answers)
    assert len({a["content"] for a in answers}) > 5


@pytest.mark.slow
def test_finished_batches_are_not_drawn_again(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate_run(tmp_path / "whole", tiny_model, prompt_rows(12))
    assert work(whole) == 0

    cut = generate_run(tmp_path / "cut", tiny_model, prompt_rows(12))
    plain, drawn = generate.sample, []

    def sample(*arguments: Any) -> Any:
        drawn.append(arguments[2])
        if len(drawn) == 1:
            (cut / "stop").touch()
        return plain(*arguments)

    monkeypatch.setattr(generate, "sample", sample)
    assert work(cut) == 10
    (cut / "stop").unlink()
    assert work(cut) == 0
    assert len(drawn) == 3, "12 prompts in batches of 4"
    assert lines(cut / "out" / "responses.jsonl") == lines(whole / "out" / "responses.jsonl")


@pytest.mark.slow
def test_temperature_nought_is_greedy(tmp_path: Path, tiny_model: Path) -> None:
    rows = prompt_rows(3, draws=2)
    run_dir = generate_run(tmp_path / "run", tiny_model, rows, decoding=DECODING | {"temperature": 0.0})
    assert work(run_dir) == 0
    answers = lines(run_dir / "out" / "responses.jsonl")
    assert all(a["content"] == b["content"] for a, b in zip(answers[::2], answers[1::2], strict=True))


@pytest.mark.slow
def test_a_prompt_that_leaves_no_room_is_dropped_and_counted(tmp_path: Path, tiny_model: Path) -> None:
    rows = prompt_rows(3)
    rows[1]["messages"][0]["content"] = "Say hello to Tom. " * 200
    run_dir = generate_run(tmp_path / "run", tiny_model, rows)
    assert work(run_dir) == 0
    assert result(run_dir)["rows"]["dropped"] == 1
    assert [a["prompt"] for a in lines(run_dir / "out" / "responses.jsonl")] == ["000", "002"]
