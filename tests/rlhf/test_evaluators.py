"""The evaluator hook: a command of the machine's owner, POLICY in, figures out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from feedback.errors import BadInput, NotFound
from rlhf import evaluations, evaluators
from rlhf.models import Evaluation, Run
from tests.factories import make_policy
from tests.rlhf.engine.runs import make_run, result, work
from tests.rlhf.scripted import scripted  # noqa: F401

SCRIPT = """
import json, os, sys
policy = os.environ["POLICY"]
assert sorted(os.listdir(policy)) == ["config.json", "model.safetensors", "plumbline.json"], os.listdir(policy)
about = json.load(open(os.path.join(policy, "plumbline.json")))
figures = {"brevity": {"value": 0.75, "se": 0.01, "n": 200}, about["slug"]: {"value": 1}}
json.dump({"figures": figures}, open(os.environ["OUT"], "w"))
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def evaluator(tmp_path: Path, code: str) -> dict[str, str]:
    (tmp_path / "evaluator.py").write_text(code)
    return {"house": f"{{python}} {tmp_path / 'evaluator.py'}"}


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.usefixtures("scripted")
def test_a_command_gets_the_policy_and_its_figures_become_an_evaluation(
    settings: Any, tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = evaluator(tmp_path, SCRIPT)
    monkeypatch.setenv("PLUMBLINE_EVALUATORS", json.dumps(known))
    settings.PLUMBLINE_EVALUATORS, settings.PLUMBLINE_BASES = known, {"toy": str(toy)}
    settings.PLUMBLINE_LAUNCHER = "{python} -m rlhf.engine {run_dir}"
    policy = make_policy("mine", kind="local", base="toy", system_prompt="Be brief.")
    monkeypatch.setattr("rlhf.management.doors.ORPHAN_SECONDS", 0.0)
    call_command("evaluate", "mine", "--evaluator", "house", "--wait")
    run = Run.objects.get()
    assert run.status == "done", (run.note, run.log_tail)
    found = Evaluation.objects.get(policy=policy, material="house")
    assert found.figures["brevity"] == {"value": 0.75, "se": 0.01, "n": 200}
    assert found.figures["mine"] == {"value": 1.0, "se": None, "n": None}
    assert evaluations.latest(policy=policy, evaluator="house") == found and found.run == run
    assert "brevity: 0.75 (se 0.01, n 200)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("pass", "wrote no such file"),
        ("import os; open(os.environ['OUT'], 'w').write('{')", "not JSON"),
        ("import os; open(os.environ['OUT'], 'w').write('{\"figures\": {\"a\": 1}}')", "figures.a"),
        ("import time; time.sleep(60)", "not done after 1 s"),
    ],
)
def test_an_evaluator_that_fails_is_one_clear_line(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    monkeypatch.setenv("PLUMBLINE_EVALUATORS", json.dumps(evaluator(tmp_path, code)))
    (tmp_path / "policy.json").write_text("{}")
    config = {"evaluator": "house", "timeout_seconds": 1 if "sleep" in code else 60}
    run_dir = make_run(tmp_path / "run", "evaluate", config, base=toy)
    (run_dir / "inputs" / "policy.json").symlink_to(tmp_path / "policy.json")
    assert work(run_dir) == 20
    said = json.loads((run_dir / "error.json").read_text())
    assert says in said["message"] and "\n" not in said["message"]
    assert not (run_dir / "out").exists()


def test_the_command_is_the_machines_own_and_never_the_orders(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLUMBLINE_EVALUATORS", raising=False)
    run_dir = make_run(tmp_path / "run", "evaluate", {"evaluator": f"{sys.executable} -c pass"}, base=toy)
    (run_dir / "inputs" / "policy.json").write_text("{}")
    assert work(run_dir) == 20
    assert json.loads((run_dir / "error.json").read_text())["code"] == "unknown_evaluator"


@pytest.mark.django_db
def test_what_cannot_be_evaluated_is_refused_before_anything_starts(settings: Any) -> None:
    settings.PLUMBLINE_EVALUATORS, settings.PLUMBLINE_BASES = {"house": "true"}, {"toy": "/nowhere"}
    refused: list[tuple[Any, str, type, str]] = [
        (make_policy(kind="local", base="toy"), "other", NotFound, "there are: house"),
        (make_policy(), "house", BadInput, "not here"),
        (make_policy(kind="local", base="toy", head="ab" * 32), "house", BadInput, "reward model"),
    ]
    for policy, name, error, says in refused:
        with pytest.raises(error, match=says):
            evaluators.order(policy=policy, evaluator=name)
    assert not Run.objects.exists()


@pytest.mark.slow
@pytest.mark.django_db
def test_a_policy_with_adapters_is_handed_over_merged(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = model.state_dict()["model.layers.0.self_attn.q_proj.weight"].clone()
    lora = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    lora.save_pretrained(tmp_path / "chain" / "0")
    (tmp_path / "before.safetensors").write_bytes(b"")
    torch.save(before, tmp_path / "before.pt")
    code = f"""
import json, os, torch
from safetensors.torch import load_file
new = load_file(os.path.join(os.environ["POLICY"], "model.safetensors"))["model.layers.0.self_attn.q_proj.weight"]
moved = float((new - torch.load({str(tmp_path / "before.pt")!r})).abs().max())
json.dump({{"figures": {{"moved": {{"value": moved}}}}}}, open(os.environ["OUT"], "w"))
"""
    monkeypatch.setenv("PLUMBLINE_EVALUATORS", json.dumps(evaluator(tmp_path, code)))
    run_dir = make_run(
        tmp_path / "run", "evaluate", {"evaluator": "house"}, base=tiny_model, adapter=tmp_path / "chain"
    )
    (run_dir / "inputs" / "policy.json").write_text("{}")
    assert work(run_dir) == 0
    assert result(run_dir)["figures"]["moved"]["value"] > 1e-4
