from __future__ import annotations

import pytest

from rlhf.estimates import Past, compare, estimate, modelled
from rlhf.model_files import Shape

SMALL = Shape(parameters=135_000_000, layers=30, hidden=576, vocabulary=49_152, context=2048)
DPO = {"batch_size": 4, "max_steps": 60, "max_length": 512}


def test_steps_and_tokens_follow_from_the_config() -> None:
    found = estimate("dpo", DPO, SMALL, rows=500, row_tokens=180.0)
    assert (found.steps, found.tokens) == (60, 60 * 4 * 180)
    assert "no run of this kind" in found.basis


def test_a_head_reads_every_row_once_and_takes_no_steps() -> None:
    found = estimate("reward", {"method": "head", "batch_size": 32}, SMALL, rows=500, row_tokens=300.0)
    assert (found.steps, found.tokens) == (0, 150_000)
    full = estimate("reward", {"method": "full", "batch_size": 32, "max_steps": 60}, SMALL, 500, 300.0)
    assert found.memory_mb < full.memory_mb and found.seconds < full.seconds


def test_larger_models_take_longer_and_more_memory() -> None:
    large = Shape(parameters=8_000_000_000, layers=32, hidden=4096, vocabulary=128_000, context=8192)
    one, other = (estimate("dpo", DPO, shape, 500, 180.0) for shape in (SMALL, large))
    assert other.seconds > 20 * one.seconds and other.memory_mb > 20_000 > one.memory_mb


def test_earlier_runs_on_the_same_base_correct_the_model() -> None:
    seconds, memory = modelled("dpo", DPO, SMALL, 43_200, 180.0)
    past = [Past(True, 100, 200, 1000, 1500)] * 3 + [Past(False, 100, 9000, 1000, 9000)]
    found = estimate("dpo", DPO, SMALL, 500, 180.0, past)
    assert found.seconds == pytest.approx(2 * seconds, rel=1e-3)
    assert found.memory_mb == pytest.approx(1.5 * memory, rel=1e-3)
    assert found.basis == "3 finished dpo runs here, on this base"


def test_what_happened_is_held_against_what_was_expected() -> None:
    result = {"steps": 60, "tokens": 40_000, "seconds": 300.0, "peak_memory_mb": 2000}
    rows = {row["name"]: row["ratio"] for row in compare({"steps": 60, "seconds": 150.0, "memory_mb": 1000}, result)}
    assert rows == {"steps": 1.0, "seconds": 2.0, "memory_mb": 2.0}
