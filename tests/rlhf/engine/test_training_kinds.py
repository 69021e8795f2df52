"""Every kind of training, for real, on the tiny model: it learns, reports, resumes and reloads."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlhf.spec import POLICY_KINDS
from tests.rlhf.engine.runs import ROOT, lines, make_run, polite_pairs, prompt_rows, result, work, write_lines

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from rlhf.engine.policies import load_policy  # noqa: E402

pytestmark = pytest.mark.slow
CONFIG: dict[str, Any] = {"lr": 1e-3, "batch_size": 8, "max_steps": 8, "save_steps": 4, "warmup_steps": 1}
RL = CONFIG | {"lr": 2e-4, "num_generations": 4, "max_new_tokens": 12, "beta": 0.01}
MOVED = {"dpo": "margin", "kto": "margin", "sft": "token_accuracy", "rloo": "reward", "grpo": "reward"}


def answers(count: int) -> list[dict[str, Any]]:
    """Rows of answers.jsonl: the good ones first, as a careless file would have them."""
    pairs = polite_pairs(count)
    return [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for side in ("chosen", "rejected")
        for row in pairs
    ]


def samples(path: Path) -> Path:
    return write_lines(path, [{"prompt": row["prompt"], "messages": row["messages"]} for row in prompt_rows(2)])


def dataset(path: Path, count: int = 60) -> Path:
    rng = random.Random(0)
    rows = [
        {key: row[key] for key in ("prompt", "chosen", "rejected")}
        | {"probability": 1.0, "votes": 1, "tie": False, "prompt_id": f"p{i}", "pair_id": f"q{i}", "margin": 0.0}
        | {"arm": rng.choice(["control", "active"])}
        for i, row in enumerate(polite_pairs(count))
    ]
    path.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path / "train.parquet")
    return path


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("head")
    run_dir = make_run(folder / "run", "reward", {}, base=tiny_model, dataset=dataset(folder / "data"))
    assert work(run_dir) == 0
    return run_dir / "out"


def training(folder: Path, kind: str, tiny_model: Path, head: Path, **more: Any) -> Path:
    """A run directory of a policy kind with everything that it reads."""
    inputs = {"samples_jsonl": samples(folder.with_suffix(".samples"))}
    if kind == "dpo":
        inputs["pairs_jsonl"] = write_lines(folder.with_suffix(".jsonl"), polite_pairs(40))
    elif kind in ("kto", "sft"):
        rows = answers(40) if kind == "kto" else [row for row in answers(40) if row["label"]]
        inputs["answers_jsonl"] = write_lines(folder.with_suffix(".jsonl"), rows)
    else:
        inputs |= {"prompts_jsonl": write_lines(folder.with_suffix(".jsonl"), prompt_rows(16)), "head": head}
    config = (RL if kind in ("rloo", "grpo") else CONFIG) | more
    return make_run(folder, kind, config, base=tiny_model, **inputs)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, head: Path) -> dict[str, Path]:
    """One finished run of every policy kind."""
    folder = tmp_path_factory.mktemp("kinds")
    runs = {kind: training(folder / kind, kind, tiny_model, head) for kind in POLICY_KINDS}
    for kind, run_dir in runs.items():
        assert work(run_dir) == 0, kind
    return runs


def steps(run_dir: Path) -> dict[int, dict[str, float]]:
    return {
        line["step"]: line["metrics"]
        for line in lines(run_dir / "progress.jsonl")
        if line.get("phase") == "train"
    }  # fmt: skip


def adapter(run_dir: Path) -> dict[str, Any]:
    weights: dict[str, Any] = load_file(run_dir / "out" / "0" / "adapter_model.safetensors")
    return weights


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_every_step_is_reported_with_the_kinds_own_figures(whole: dict[str, Path], kind: str) -> None:
    found = steps(whole[kind])
    assert list(found) == list(range(1, 9))
    common = {"loss", "lr", "grad_norm", "tokens"}
    own = {
        "dpo": {"margin", "accuracy", "reward_chosen", "reward_rejected"},
        "kto": {"kl", "reward_chosen", "reward_rejected"},
        "sft": {"entropy", "token_accuracy"},
        "rloo": {"reward", "reward_std", "zero_variance", "kl", "entropy", "length"},
        "grpo": {"reward", "reward_std", "zero_variance", "kl", "entropy", "length"},
    }[kind]
    assert common | own <= found[8].keys() | found[7].keys()
    tokens = [found[step]["tokens"] for step in sorted(found)]
    assert tokens == sorted(tokens) and tokens[0] > 0 and result(whole[kind])["tokens"] == tokens[-1]
    assert (result(whole[kind])["steps"], result(whole[kind])["processes"]) == (8, 1)


@pytest.mark.parametrize("kind", ["dpo", "kto", "sft"])
def test_the_figure_that_should_move_moves(whole: dict[str, Path], kind: str) -> None:
    found = steps(whole[kind])
    early = np.mean([found[n][MOVED[kind]] for n in (1, 2) if MOVED[kind] in found[n]])
    late = np.mean([found[n][MOVED[kind]] for n in (7, 8) if MOVED[kind] in found[n]])
    assert late > early


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_the_result_is_an_adapter_that_changes_the_policy(whole: dict[str, Path], kind: str, tiny_model: Path) -> None:
    assert sorted(p.name for p in (whole[kind] / "out" / "0").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        before, after = (load_policy(tiny_model, chain)(ids).logits for chain in (None, whole[kind] / "out"))
    assert (before - after).abs().max() > 1e-4


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_sample_answers_are_kept_at_the_start_at_checkpoints_and_at_the_end(whole: dict[str, Path], kind: str) -> None:
    said = result(whole[kind])["samples"]
    assert sorted({row["step"] for row in said}) == [0, 4, 8]
    assert len(said) == 6 and all(row["prompt"] and "content" in row for row in said)


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_resuming_equals_never_having_stopped(
    tmp_path: Path, tiny_model: Path, head: Path, whole: dict[str, Path], kind: str
) -> None:
    cut = training(tmp_path / "cut", kind, tiny_model, head)
    shutil.copytree(whole[kind] / "checkpoints", cut / "checkpoints")
    shutil.rmtree(cut / "checkpoints" / "checkpoint-8")
    before = [line for line in lines(whole[kind] / "progress.jsonl") if line.get("phase") == "train"]
    write_lines(cut / "progress.jsonl", before[:4])
    assert work(cut) == 0
    one, other = adapter(whole[kind]), adapter(cut)
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-5
    assert result(cut)["tokens"] == result(whole[kind])["tokens"], "tokens are counted through a resume"


@pytest.mark.parametrize("loss", ["robust", "ipo"])
def test_other_losses_of_dpo_raise_the_margin_too(tmp_path: Path, tiny_model: Path, head: Path, loss: str) -> None:
    more = {"loss": loss} | ({"label_smoothing": 0.1} if loss == "robust" else {})
    run_dir = training(tmp_path / "run", "dpo", tiny_model, head, **more)
    assert work(run_dir) == 0
    found = steps(run_dir)
    assert found[8]["margin"] > found[1]["margin"] + 0.01


def scores(folder: Path, reward_model: Path, tiny_model: Path, pairs: list[dict[str, Any]]) -> list[float]:
    """Means by the engine's `score`, chosen and rejected in turn."""
    rows = [
        {"id": f"{n}{side}", "messages": row["prompt"], "content": row[side][0]["content"]}
        for n, row in enumerate(pairs)
        for side in ("chosen", "rejected")
    ]
    texts = write_lines(folder / "texts.jsonl", rows)
    run_dir = make_run(folder / "score", "score", {}, base=tiny_model, head=reward_model, texts_jsonl=texts)
    assert work(run_dir) == 0
    return [row["mean"] for row in lines(run_dir / "out" / "scores.jsonl")]


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("classifiers")
    data, runs = dataset(folder / "data"), {}
    for method in ("lora", "full"):
        config = CONFIG | {"method": method, "max_steps": 12, "lr": 3e-3 if method == "lora" else 3e-4}
        runs[method] = make_run(folder / method, "reward", config, base=tiny_model, dataset=data)
        assert work(runs[method]) == 0
    return runs


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_reward_classifier_learns_and_reloads_to_the_same_scores(
    tmp_path: Path, tiny_model: Path, classifiers: dict[str, Path], method: str
) -> None:
    run_dir = classifiers[method]
    figures = result(run_dir)["figures"]
    assert figures["accuracy"]["value"] > 0.8 and "never saw" in figures["held_out"]
    table = pq.read_table(run_dir / "out" / "predictions.parquet").to_pylist()
    assert result(run_dir)["rows"]["held_out"] == len(table) >= 12
    assert all(row["arm"] == "control" for row in table), "groups with control pairs are held out first"
    pairs = polite_pairs(60)
    held = [pairs[int(row["pair_id"][1:])] for row in table]
    found = np.array(scores(tmp_path, run_dir / "out", tiny_model, held)).reshape(-1, 2)
    predicted = 1 / (1 + np.exp(found[:, 1] - found[:, 0]))
    np.testing.assert_allclose(predicted, [row["probability"] for row in table], atol=1e-4)


def test_a_reward_classifier_resumes_to_the_same_weights(
    tmp_path: Path, tiny_model: Path, classifiers: dict[str, Path]
) -> None:
    config = json.loads((classifiers["lora"] / "spec.json").read_text())["config"]
    cut = make_run(tmp_path / "cut", "reward", config, base=tiny_model, dataset=dataset(tmp_path / "data"))
    shutil.copytree(classifiers["lora"] / "checkpoints", cut / "checkpoints")
    shutil.rmtree(cut / "checkpoints" / "checkpoint-12")
    assert work(cut) == 0
    one, other = (load_file(r / "out/adapter/adapter_model.safetensors") for r in (classifiers["lora"], cut))
    assert any("score" in name for name in one)
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-5


def test_a_classifier_rewards_a_policy_too(tmp_path: Path, tiny_model: Path, classifiers: dict[str, Path]) -> None:
    run_dir = training(tmp_path / "run", "rloo", tiny_model, classifiers["lora"] / "out", max_steps=2, save_steps=2)
    assert work(run_dir) == 0
    assert np.isfinite(result(run_dir)["figures"]["reward"])


def test_a_lora_classifier_refuses_another_base(tmp_path: Path, tiny_model: Path, classifiers: dict[str, Path]) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    config = json.loads((other / "config.json").read_text()) | {"comment": "another"}
    (other / "config.json").write_text(json.dumps(config))
    texts = write_lines(tmp_path / "t.jsonl", [{"id": 1, "messages": polite_pairs(1)[0]["prompt"], "content": "x"}])
    model = classifiers["lora"] / "out"
    run_dir = make_run(tmp_path / "run", "score", {}, base=other, head=model, texts_jsonl=texts)
    assert work(run_dir) == 20
    assert json.loads((run_dir / "error.json").read_text())["code"] == "wrong_base"


def test_two_processes_share_one_run(tmp_path: Path, tiny_model: Path, head: Path) -> None:
    run_dir = training(tmp_path / "run", "dpo", tiny_model, head, max_steps=4, save_steps=2)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launcher, "-m", "rlhf.engine", str(run_dir)], cwd=ROOT, env=environment, check=True, timeout=240)
    assert result(run_dir)["processes"] == 2
    found = [line["step"] for line in lines(run_dir / "progress.jsonl") if line.get("phase") == "train"]
    assert found == [1, 2, 3, 4], "one of them reports"
    assert abs(steps(run_dir)[1]["margin"]) < 1e-4 and adapter(run_dir)


def test_what_the_user_must_change_is_told_through_torchrun_too(tmp_path: Path, tiny_model: Path, head: Path) -> None:
    run_dir = training(tmp_path / "run", "dpo", tiny_model, head, batch_size=7)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*launcher, "-m", "rlhf.engine", str(run_dir)], cwd=ROOT, timeout=240)
    assert done.returncode == 1
    assert json.loads((run_dir / "exit.json").read_text()) == {"attempt": 1, "code": 20}
    assert json.loads((run_dir / "error.json").read_text())["field"] == "config.batch_size"
