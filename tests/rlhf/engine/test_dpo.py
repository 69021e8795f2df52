from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.rlhf.engine.runs import lines, make_run, polite_pairs, result, start, wait_for, work, write_lines

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from rlhf.engine.policies import chain_links, load_policy  # noqa: E402
from rlhf.engine.run_dir import RunDir, UserError  # noqa: E402
from rlhf.engine.training import last_checkpoint  # noqa: E402

CONFIG = {"lr": 1e-3, "batch_size": 8, "max_steps": 8, "save_steps": 4, "warmup_steps": 1}


def dpo_run(path: Path, base: Path, pairs: list[dict[str, Any]] | None = None, **more: Any) -> Path:
    inputs = {name: more.pop(name) for name in ("adapter",) if name in more}
    file = write_lines(path.with_suffix(".jsonl"), pairs or polite_pairs(40))
    return make_run(path, "dpo", CONFIG | more, base=base, pairs_jsonl=file, **inputs)


def train_lines(run_dir: Path) -> list[dict[str, Any]]:
    return [line for line in lines(run_dir / "progress.jsonl") if line.get("phase") == "train"]


def adapter(run_dir: Path, link: int = 0) -> dict[str, Any]:
    weights: dict[str, Any] = load_file(run_dir / "out" / str(link) / "adapter_model.safetensors")
    return weights


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((4, "{}"), (8, '{"glo')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-12").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    assert not (tmp_path / "checkpoint-12").exists()


def test_an_adapter_chain_has_no_gaps(tmp_path: Path) -> None:
    for number in (0, 2):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(UserError, match=r"\[0, 2\]"):
        chain_links(tmp_path)


@pytest.mark.slow
def test_answer_log_probabilities_equal_the_full_softmax(tiny_model: Path) -> None:
    from rlhf.engine.preference_trainer import add_answer_head

    model = load_policy(tiny_model)
    ids = torch.randint(5, 900, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros_like(ids)
    mask[0, 4:], mask[1, 9:], mask[2, 2:6] = 1, 1, 1
    with torch.inference_mode():
        full = model(input_ids=ids).logits[:, :-1].log_softmax(-1)
        expected = (full.gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]).sum(1)
        add_answer_head(model)
        found = model(input_ids=ids, completion_mask=mask)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    run_dir = dpo_run(tmp_path_factory.mktemp("dpo") / "whole", tiny_model, max_steps=16)
    assert work(run_dir) == 0
    return run_dir


@pytest.mark.slow
def test_the_margin_rises_from_nought(trained: Path) -> None:
    steps = [line["metrics"] for line in train_lines(trained)]
    assert len(steps) == 16
    assert abs(steps[0]["margin"]) < 1e-4, "the reference is the policy that starts"
    assert steps[-1]["margin"] > 0.2
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert result(trained)["figures"]["steps"] == 16


@pytest.mark.slow
def test_an_adapter_names_no_path(trained: Path) -> None:
    assert sorted(path.name for path in (trained / "out" / "0").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((trained / "out" / "0" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == ""


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, tiny_model: Path, trained: Path) -> None:
    cut = dpo_run(tmp_path / "cut", tiny_model, max_steps=16)
    shutil.copytree(trained / "checkpoints", cut / "checkpoints")
    shutil.rmtree(cut / "checkpoints" / "checkpoint-16")
    assert work(cut) == 0
    assert [line["step"] for line in train_lines(cut)] == [13, 14, 15, 16]
    whole, resumed = adapter(trained), adapter(cut)
    assert whole.keys() == resumed.keys()
    assert max((whole[name] - resumed[name]).abs().max().item() for name in whole) < 1e-5


@pytest.mark.slow
def test_the_next_update_starts_from_the_whole_chain(tmp_path: Path, tiny_model: Path, trained: Path) -> None:
    second = dpo_run(tmp_path / "second", tiny_model, adapter=trained / "out", max_steps=4)
    assert work(second) == 0
    assert sorted(path.name for path in (second / "out").iterdir()) == ["0", "1"]
    torch.testing.assert_close(adapter(second, 0), adapter(trained, 0))
    assert abs(train_lines(second)[0]["metrics"]["margin"]) < 1e-4
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        base, one, two = (
            load_policy(tiny_model, chain)(ids).logits for chain in (None, trained / "out", second / "out")
        )
    assert (base - one).abs().max() > 1e-3 and (one - two).abs().max() > 1e-4


@pytest.mark.slow
def test_a_stop_file_saves_and_ends(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = dpo_run(tmp_path / "run", tiny_model)
    plain = RunDir.progress

    def progress(self: RunDir, step: int, *rest: Any, **named: Any) -> None:
        plain(self, step, *rest, **named)
        if named.get("phase") == "train" and step == 2:
            (run_dir / "stop").touch()

    monkeypatch.setattr(RunDir, "progress", progress)
    assert work(run_dir) == 10
    assert not (run_dir / "out").exists()
    reached = max(line["step"] for line in train_lines(run_dir))
    assert (run_dir / "checkpoints" / f"checkpoint-{reached}").exists() and reached <= 3
    (run_dir / "stop").unlink()
    monkeypatch.setattr(RunDir, "progress", plain)
    assert work(run_dir) == 0
    steps = [line["step"] for line in train_lines(run_dir)]
    assert sorted(steps) == list(range(1, 9)), "no step is trained twice"


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path, tiny_model: Path) -> None:
    run_dir = dpo_run(tmp_path / "run", tiny_model, max_steps=40, save_steps=5)
    child = start(run_dir)
    wait_for(lambda: bool(list((run_dir / "checkpoints").glob("checkpoint-*/trainer_state.json"))))
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (run_dir / "result.json").exists()
    seen = len(train_lines(run_dir))
    assert work(run_dir) == 0
    steps = [line["step"] for line in train_lines(run_dir)]
    assert set(steps) == set(range(1, 41))
    assert steps[seen] > 5 or seen >= 40, "it went on, it did not start again"
    assert len(steps) - 40 <= 10, "at most the steps since a whole checkpoint are trained twice"


@pytest.mark.slow
def test_an_engine_ends_with_its_supervisor(tmp_path: Path, tiny_model: Path) -> None:
    run_dir = dpo_run(tmp_path / "run", tiny_model, max_steps=100_000)
    child = start(run_dir, PLUMBLINE_SUPERVISED="1")
    wait_for(lambda: bool(train_lines(run_dir)))
    assert child.stdin
    child.stdin.close()
    assert child.wait(timeout=20) == 1


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_the_users_error(tmp_path: Path, tiny_model: Path) -> None:
    run_dir = dpo_run(tmp_path / "run", tiny_model, lr=1.0, beta=100.0, lora_alpha=4096, max_steps=60)
    assert work(run_dir) == 20
    error = json.loads((run_dir / "error.json").read_text())
    assert (error["code"], error["field"]) == ("diverged", "config.lr")


@pytest.mark.slow
def test_a_tie_pulls_the_margin_towards_nought_where_a_win_pushes_it_up(tmp_path: Path, tiny_model: Path) -> None:
    margins = {}
    for target in (0.5, 0.95):
        rows = [row | {"target": target} for row in polite_pairs(40)]
        run_dir = dpo_run(tmp_path / f"t{target}", tiny_model, rows, max_steps=12)
        assert work(run_dir) == 0
        margins[target] = result(run_dir)["figures"]["margin"]
    assert abs(margins[0.5]) < 0.05 < margins[0.95]
