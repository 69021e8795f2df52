"""What is wrong with a run's ingredients is one clear line on the run; nothing is tried again, nothing is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import PlumblineError
from feedback.models import Policy
from rlhf import artifacts, runs
from rlhf.models import RewardModel, Run
from tests.factories import make_policy, make_prompt
from tests.factories_rlhf import make_built_dataset
from tests.rlhf.scripted import carried_out, scripted  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.usefixtures("scripted")]


@pytest.fixture
def tiny(settings: Any, tmp_path: Path, tiny_model: Path) -> Path:
    """A copy of the tiny model, registered as a base, to spoil."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_model, folder)
    settings.PLUMBLINE_BASES = {"tiny": str(folder)}
    settings.PLUMBLINE_LAUNCHER = "{python} -m rlhf.engine {run_dir}"
    return folder


def answered(**policy: Any) -> Run:
    """A run that lets such a policy answer one prompt."""
    row = make_policy(kind="local", base="tiny", decoding={"max_new_tokens": 2}, **policy)
    return carried_out(runs.start(kind="generate", policy=row, inputs={"prompts": {make_prompt().key: [0]}}))


def refused(run: Run, *says: str) -> None:
    assert (run.status, run.attempt) == ("failed", 1), (run.status, run.note, run.log_tail)
    assert "\n" not in run.note and "Traceback" not in run.note and len(run.note) < 400, run.note
    assert all(word in run.note for word in says), (run.note, run.log_tail)
    assert not run.artifact and run.produced_policy is None


def test_weights_that_are_cut_short(tiny: Path) -> None:
    path = next(tiny.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1000])
    refused(answered())


def test_a_base_that_is_no_language_model(tiny: Path) -> None:
    (tiny / "config.json").write_text(json.dumps({"model_type": "toaster"}))
    refused(answered(), "base")


def test_an_adapter_of_another_model(tiny: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny, hidden_size=96, num_attention_heads=4, num_key_value_heads=4, head_dim=24)
    other = AutoModelForCausalLM.from_config(config)
    lora = get_peft_model(other, LoraConfig(r=2, target_modules=["q_proj"]))
    lora.save_pretrained(tmp_path / "chain" / "0")
    refused(answered(adapter=artifacts.publish(tmp_path / "chain", kind="dpo")), "adapter")


def test_an_adapter_that_is_gone(tiny: Path) -> None:
    refused(answered(adapter="ab" * 32), "abababababab", "not on this machine")


@pytest.mark.parametrize("kind", ["reward", "dpo"])
def test_a_dataset_of_three_rows(tiny: Path, kind: str) -> None:
    dataset = make_built_dataset(pairs=3)
    policy = make_policy("mine", kind="local", base="tiny")
    try:
        run = carried_out(runs.start(kind=kind, dataset=dataset, policy=policy))
    except PlumblineError as wrong:
        assert "3" in wrong.message and "\n" not in wrong.message
        assert not Run.objects.exists()
    else:
        refused(run, "3")
    assert not RewardModel.objects.exists() and Policy.objects.filter(parent=policy).count() == 0


def test_an_unknown_key_of_the_config(tiny: Path) -> None:
    policy = make_policy("mine", kind="local", base="tiny")
    with pytest.raises(PlumblineError, match="config.learning_rate"):
        runs.start(kind="dpo", dataset=make_built_dataset(), policy=policy, config={"learning_rate": 1e-4})
    assert not Run.objects.exists()
