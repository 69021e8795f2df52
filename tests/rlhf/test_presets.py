from __future__ import annotations

import pytest

from rlhf.presets import SIZES, preset, size_of
from rlhf.spec import POLICY_KINDS, parse_config

KINDS = ("reward", *POLICY_KINDS)


def values(kind: str, rows: int, parameters: float = 135e6, **config: object) -> dict[str, object]:
    given = {"method": "lora", **config} if kind == "reward" else config
    found = preset(kind, given, parameters=int(parameters), rows=rows)
    parse_config(kind, {**{name: value for name, (value, _) in found.items()}, **given})  # type: ignore[dict-item]
    return {name: value for name, (value, _) in found.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [8, 100, 500, 5000, 200_000])
@pytest.mark.parametrize("parameters", [2e6, 135e6, 5e8, 8e9])
def test_every_preset_is_valid_and_takes_at_least_sixty_steps(kind: str, rows: int, parameters: float) -> None:
    found = values(kind, rows, parameters)
    assert found["max_steps"] >= 60  # type: ignore[operator]
    assert found["warmup_steps"] < found["max_steps"]  # type: ignore[operator]


def test_the_batch_grows_with_the_data_and_not_beyond_what_the_model_allows() -> None:
    assert [values("dpo", rows, 8e9)["batch_size"] for rows in (100, 500, 5000, 50_000)] == [4, 8, 64, 128]
    assert values("dpo", 50_000, 135e6)["batch_size"] == 32


def test_what_somebody_named_is_left_alone_and_the_rest_follows_it() -> None:
    found = values("dpo", 5000, 8e9, batch_size=10, lr=1e-3)
    assert "lr" not in found and "batch_size" not in found
    assert found["max_steps"] == 500


def test_a_loras_rate_is_about_ten_times_that_of_full_fine_tuning() -> None:
    for parameters in (135e6, 5e8, 8e9):
        lora, full = values("reward", 1000, parameters), values("reward", 1000, parameters, method="full")
        assert 5 <= lora["lr"] / full["lr"] <= 20  # type: ignore[operator]


def test_policy_gradients_get_whole_groups() -> None:
    assert values("rloo", 5000, num_generations=6)["batch_size"] % 6 == 0  # type: ignore[operator]


def test_a_head_has_no_steps_to_preset() -> None:
    assert preset("reward", {}, parameters=135_000_000, rows=500) == {}


def test_every_value_comes_with_a_reason() -> None:
    found = preset("dpo", {}, parameters=135_000_000, rows=500)
    assert all(len(why) > 15 for _, why in found.values())
    assert size_of(None) is SIZES[1], "a base that is still being made counts as small"
