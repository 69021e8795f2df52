from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feedback.stats.heads import Standardiser, fit_head
from feedback.stats.style import STYLE_NAMES
from rlhf.engine.run_dir import UserError
from tests.rlhf.engine.runs import lines, make_run, polite_pairs, result, work, write_lines

torch = pytest.importorskip("torch")

from rlhf.engine.heads import RewardHead  # noqa: E402
from rlhf.engine.preference_rows import read_preferences  # noqa: E402
from rlhf.engine.reward_figures import expected_calibration_error, reward_figures, symmetric_slope  # noqa: E402


def table_rows(count: int = 8, **more: Any) -> list[dict[str, Any]]:
    return [
        {key: row[key] for key in ("prompt", "chosen", "rejected")}
        | {"probability": 0.9, "votes": 2, "tie": False, "prompt_id": f"p{i}", "arm": "active"}
        | more
        for i, row in enumerate(polite_pairs(count))
    ]


def dataset(path: Path, rows: list[dict[str, Any]], ties: list[dict[str, Any]] | None = None) -> Path:
    path.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path / "train.parquet")
    if ties:
        pq.write_table(pa.Table.from_pylist(ties), path / "ties.parquet")
    return path


def test_a_tie_has_target_one_half_whatever_its_probability(tmp_path: Path) -> None:
    rows = read_preferences(dataset(tmp_path / "d", table_rows(3), table_rows(2, tie=True)))
    assert rows.target.tolist() == [0.9, 0.9, 0.9, 0.5, 0.5]
    assert rows.weight.tolist() == [2.0] * 5


def test_a_group_column_outranks_the_prompt(tmp_path: Path) -> None:
    assert set(read_preferences(dataset(tmp_path / "a", table_rows(3))).group) == {"p0", "p1", "p2"}
    assert set(read_preferences(dataset(tmp_path / "b", table_rows(3, group="g"))).group) == {"g"}


@pytest.mark.parametrize("column", ["chosen", "prompt_id"])
def test_a_dataset_without_a_needed_column_is_refused_by_name(tmp_path: Path, column: str) -> None:
    rows = [{k: v for k, v in row.items() if k != column} for row in table_rows(3)]
    with pytest.raises(UserError, match=column):
        read_preferences(dataset(tmp_path / "d", rows))


def test_figures_come_from_the_control_arm_alone(tmp_path: Path) -> None:
    rows = read_preferences(dataset(tmp_path / "d", table_rows(6, arm="control"), table_rows(6)))
    right_on_control = np.array([0.9] * 6 + [0.1] * 6)
    figures = reward_figures(rows, right_on_control)
    assert figures["accuracy_on"] == "control" and figures["n"] == 6
    assert figures["accuracy"]["value"] == 1.0  # type: ignore[index]


def test_without_a_control_arm_the_figures_say_so(tmp_path: Path) -> None:
    rows = read_preferences(dataset(tmp_path / "d", table_rows(6, arm="import")))
    assert reward_figures(rows, np.full(6, 0.8))["accuracy_on"] == "import"


def test_longer_and_shorter_wins_share_the_same_pairs(tmp_path: Path) -> None:
    rows = read_preferences(dataset(tmp_path / "d", table_rows(8)))
    figures = reward_figures(rows, np.full(8, 0.8))
    assert figures["longer_wins"]["value"] + figures["shorter_wins"]["value"] == 1.0  # type: ignore[index]


def test_a_calibrated_predictor_has_a_slope_of_one_although_chosen_comes_first() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(0.05, 0.95, 8000)
    won = rng.uniform(size=8000) < first
    predicted = np.where(won, first, 1 - first)  # as a dataset shows it: the winner first, target 1
    slope = symmetric_slope(predicted, np.ones(8000), np.arange(8000))
    assert slope.low < 1 < slope.high and abs(slope.value - 1) < 0.1
    assert slope.n == 8000
    assert expected_calibration_error(predicted, np.ones(8000)) < 0.02


def test_a_head_saved_and_loaded_gives_the_same_rewards(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((40, 60))
    head = fit_head(features[:20] - features[20:], np.ones(20), lam=3.0)
    before = RewardHead(head, Standardiser.fit(features), {"layer": 2})
    before.save(tmp_path)
    after = RewardHead.load(tmp_path)
    assert after.about == {"layer": 2}
    np.testing.assert_array_equal(before.draws(features, 16), after.draws(features, 16))


def test_half_a_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        RewardHead.load(tmp_path)


@pytest.mark.slow
def test_a_head_learns_politeness_and_scores_by_it(tmp_path: Path, tiny_model: Path) -> None:
    data = dataset(tmp_path / "data", table_rows(80, arm="control", probability=1.0))
    reward = make_run(tmp_path / "reward", "reward", {}, base=tiny_model, dataset=data)
    assert work(reward) == 0
    figures = result(reward)["figures"]
    assert figures["accuracy"]["low"] > 0.7 and figures["n"] == 80
    table = pq.read_table(reward / "out" / "predictions.parquet").to_pylist()
    assert len(table) == 80 and all(row["used"] and row["target"] == 1.0 for row in table)
    assert np.mean([row["probability"] > 0.5 for row in table]) == pytest.approx(figures["accuracy"]["value"], abs=1e-6)
    assert all(row["spread"] > 0 and 0 <= row["agreement"] <= 1 for row in table)
    assert len(table[0]["chosen_style"]) == len(STYLE_NAMES)
    assert table[0]["chosen_length"] == len(polite_pairs(80)[0]["chosen"][-1]["content"])

    ask = [{"role": "user", "content": "Thank Tom for the cake."}]
    good = "Thank you for the cake, Tom. It made my day."
    rows = [{"id": i, "messages": ask, "content": text} for i, text in enumerate(["Ask someone else.", good])]
    texts = write_lines(tmp_path / "texts.jsonl", rows)
    score = make_run(tmp_path / "score", "score", {}, base=tiny_model, head=reward / "out", texts_jsonl=texts)
    assert work(score) == 0
    rude, kind = lines(score / "out" / "scores.jsonl")
    assert kind["mean"] > rude["mean"] and kind["sd"] > 0
    draws = np.load(score / "out" / "draws.npy")
    assert draws.shape == (2, 64) and abs(draws[1].mean() - kind["mean"]) < 1e-4
    assert json.loads((score / "out" / "ids.json").read_text()) == [0, 1]


@pytest.mark.slow
def test_a_head_refuses_the_features_of_another_base(tmp_path: Path, tiny_model: Path) -> None:
    about = {"base": "0" * 64, "layer": 2, "max_length": 64}
    rng = np.random.default_rng(0)
    head = fit_head(rng.standard_normal((4, 3)), np.ones(4))
    (tmp_path / "head").mkdir()
    RewardHead(head, Standardiser.fit(rng.standard_normal((4, 3))), about).save(tmp_path / "head")
    row = {"id": 1, "messages": [{"role": "user", "content": "Hi?"}], "content": "Hi."}
    texts = write_lines(tmp_path / "texts.jsonl", [row])
    run_dir = make_run(tmp_path / "run", "score", {}, base=tiny_model, head=tmp_path / "head", texts_jsonl=texts)
    assert work(run_dir) == 20
    assert json.loads((run_dir / "error.json").read_text())["code"] == "wrong_base"
