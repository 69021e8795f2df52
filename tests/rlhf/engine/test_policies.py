"""Which precision a model is loaded in."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rlhf.engine import policies  # noqa: E402


def model_of(folder: Path, parameters: int) -> Path:
    """A directory whose weight file declares that many parameters and holds none of them."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [parameters], "data_offsets": [0, 0]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


@pytest.mark.parametrize(
    ("parameters", "faster", "expected"),
    [
        (100_000_000, True, torch.bfloat16),
        (100_000_000, False, torch.float32),
        (1_000_000, True, torch.float32),
    ],
)
def test_bf16_is_for_large_models_on_machines_that_are_faster_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: int, faster: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(policies, "bf16_is_faster", lambda: faster)
    assert policies.model_dtype(model_of(tmp_path, parameters)) is expected


def test_a_precision_that_is_asked_for_is_used(tmp_path: Path) -> None:
    assert policies.model_dtype(model_of(tmp_path, 1), "bf16") is torch.bfloat16


def test_the_faster_precision_is_the_one_that_was_measured_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {torch.bfloat16: 2.0, torch.float32: 1.0}
    monkeypatch.setattr(policies, "_matmul_seconds", seconds.__getitem__)
    policies.bf16_is_faster.cache_clear()
    assert policies.bf16_is_faster() is False
    seconds[torch.bfloat16] = 0.5
    policies.bf16_is_faster.cache_clear()
    assert policies.bf16_is_faster() is True
    policies.bf16_is_faster.cache_clear()
