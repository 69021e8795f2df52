"""Loading models: one precision rule, one adapter-chain rule, used by every kind of job."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rlhf import model_files
from rlhf.engine.run_dir import UserError

LARGE = 50_000_000  # parameters; below that fp32 costs little


def model_dtype(base: Path, precision: str = "auto") -> torch.dtype:
    """As asked; by default fp32 for small models, bf16 for large ones where this machine is faster at it."""
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    return torch.bfloat16 if parameter_count(base) >= LARGE and bf16_is_faster() else torch.float32


@functools.cache
def bf16_is_faster() -> bool:
    """Whether bf16 matrices multiply faster here than fp32 ones (measured on a processor: a tenth of a second).

    Processors with instructions for it gain a factor of ten; others emulate it, seventy times slower than fp32.
    """
    if device().type == "cuda":
        return torch.cuda.is_bf16_supported()
    return _matmul_seconds(torch.bfloat16) < _matmul_seconds(torch.float32)


def _matmul_seconds(dtype: torch.dtype) -> float:
    """The best of three products as large as a small model's, after one that does not count."""
    left, right = torch.ones(128, 576, dtype=dtype), torch.ones(576, 576, dtype=dtype)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def parameter_count(base: Path) -> int:
    """How many parameters a model directory holds. UserError when it holds no weights."""
    _weight_files(base)
    return model_files.parameter_count(base)


def _weight_files(base: Path) -> list[Path]:
    files = sorted(base.glob("*.safetensors"))
    if not files:
        raise UserError("bad_base", "the base holds no safetensors weights", "inputs/base")
    return files


def base_digest(base: Path) -> str:
    """sha256 over config, tokenizer and weights of a model directory: what a head's features depend on."""
    digest = hashlib.sha256()
    for path in [base / "config.json", base / "tokenizer.json", *_weight_files(base)]:
        if path.exists():
            with path.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def load_tokenizer(base: Path) -> Any:
    """The tokenizer with a pad token and a chat template. UserError when it has no template."""
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise UserError("bad_base", "the base's tokenizer has no chat template", "inputs/base")
    return tokenizer


def load_policy(base: Path, adapter_chain: Path | None = None, precision: str = "auto") -> Any:
    """The causal model of `base` with every adapter of the chain merged, in order, in evaluation mode.

    Merging happens in fp32: added to bf16 weights one by one, small updates would be rounded away.
    """
    dtype = model_dtype(base, precision)
    links = chain_links(adapter_chain)
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.float32 if links else dtype,
        config=AutoConfig.from_pretrained(base, trust_remote_code=False),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    for link in links:
        model = PeftModel.from_pretrained(model, link, use_safetensors=True).merge_and_unload()
    return model.to(device(), dtype).eval()


def chain_links(adapter_chain: Path | None) -> list[Path]:
    """The adapters of a chain in merging order: its directories `0`, `1`, ... UserError when one is missing."""
    if adapter_chain is None:
        return []
    numbers = sorted(int(path.name) for path in adapter_chain.iterdir() if path.name.isdigit())
    if numbers != list(range(len(numbers))) or not numbers:
        raise UserError("bad_adapter", f"the chain's directories are {numbers}, not 0, 1, ...", "inputs/adapter")
    return [adapter_chain / str(number) for number in numbers]


def device() -> torch.device:
    """Where models live: the accelerator when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
