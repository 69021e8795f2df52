from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlhf.spec import KINDS, DpoConfig, SpecError, load_spec, parse_spec, to_json


def spec(kind: str = "dpo", **config: Any) -> dict[str, Any]:
    return {"kind": kind, "run": "r", "attempt": 2, "seed": 7, "config": config}


def field_of(data: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(data)
    return caught.value.field


def test_defaults_fill_what_is_not_given() -> None:
    parsed = parse_spec(spec(lr=0.01))
    assert parsed.config == DpoConfig(lr=0.01)
    assert (parsed.attempt, parsed.seed) == (2, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_survives_a_round_trip(kind: str) -> None:
    parsed = parse_spec(spec(kind))
    assert parse_spec(to_json(parsed)) == parsed


def test_the_dpo_preset_takes_at_least_sixty_steps() -> None:
    assert DpoConfig().max_steps >= 60


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "spec.json"),
        (spec("ppo"), "kind"),
        (spec() | {"sed": 1}, "sed"),
        (spec() | {"seed": "1"}, "seed"),
        (spec(learning_rate=1.0), "config.learning_rate"),
        (spec(lr="fast"), "config.lr"),
        (spec(lr=float("nan")), "config.lr"),
        (spec(lr=-1.0), "config.lr"),
        (spec(batch_size=True), "config.batch_size"),
        (spec(batch_size=2.5), "config.batch_size"),
        (spec(precision="fp8"), "config.precision"),
        (spec("generate", decoding={"top_k": 5}), "config.decoding.top_k"),
        (spec("generate", decoding={"top_p": 0}), "config.decoding.top_p"),
        (spec("generate", decoding=[]), "config.decoding"),
        (spec("reward", penalties=[]), "config.penalties"),
        (spec("reward", penalties=[1.0, "x"]), "config.penalties[1]"),
    ],
)
def test_a_wrong_field_is_named(data: Any, field: str) -> None:
    assert field_of(data) == field


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="max_steps"):
        parse_spec(spec(steps=3))


def test_a_whole_number_may_stand_for_a_decimal_one() -> None:
    assert parse_spec(spec(lr=1)).config.lr == 1.0


def test_a_layer_may_be_null() -> None:
    assert parse_spec(spec("features", layer=None)).config.layer is None


def test_a_spec_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"kind":')
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "spec.json")
