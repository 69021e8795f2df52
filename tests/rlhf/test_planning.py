"""What is known about a training before it starts, on the real tiny model, and kinds carried out to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from feedback.errors import BadInput, Conflict
from feedback.models import Policy
from rlhf import artifacts, estimates, planning, row_counts, runs
from rlhf.model_files import shape_of
from rlhf.models import RewardDataset, RewardModel, Run
from tests.factories import make_policy, make_prompt
from tests.factories_rlhf import make_built_dataset, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
SHORT = {"max_steps": 2, "save_steps": 2, "batch_size": 4}


@pytest.fixture
def world(tiny_model: Path, settings: Any) -> tuple[RewardDataset, Policy]:
    settings.PLUMBLINE_BASES = {"tiny": str(tiny_model)}
    make_prompt(split="dev")
    return make_built_dataset(pairs=12), make_policy(kind="local", base="tiny")


def test_a_plan_fills_in_settings_and_says_what_the_run_will_take(world: tuple[RewardDataset, Policy]) -> None:
    dataset, policy = world
    run = runs.prepare(kind="dpo", dataset=dataset, policy=policy, config={"lr": 1e-5})
    assert run.config["lr"] == 1e-5 and "lr" not in run.plan["reasons"]
    assert run.config["max_steps"] >= 60 and run.plan["reasons"]["max_steps"]
    guess = run.plan["estimate"]
    assert guess["steps"] == run.config["max_steps"] and guess["seconds"] > 0 and guess["memory_mb"] > 100
    assert Run.objects.count() == 0, "nothing is written"


def test_rows_are_counted_as_the_engine_counts_them(tmp_path: Path, tiny_model: Path) -> None:
    from rlhf.engine.policies import load_tokenizer
    from rlhf.engine.preference_plan import read_pairs
    from tests.rlhf.engine.runs import polite_pairs, write_lines

    rows, tokenizer = polite_pairs(60), load_tokenizer(tiny_model)
    for limit, system in ((24, ""), (30, "Be brief."), (512, "")):
        file = write_lines(tmp_path / "pairs.jsonl", rows)
        config = {"max_length": limit}
        counted = row_counts.count("dpo", rows, tiny_model, config, system)
        try:
            pairs = read_pairs(file, tokenizer, system, limit)
        except Exception:
            assert counted.dropped == len(rows)
            continue
        assert (counted.dropped, counted.truncated) == (pairs.dropped, pairs.truncated)
        assert counted.tokens == pytest.approx(sum(pairs.tokens(limit)) / len(pairs.rows), abs=0.06)


def test_rows_that_would_all_be_dropped_are_refused_before_anything_starts(
    world: tuple[RewardDataset, Policy],
) -> None:
    dataset, policy = world
    with pytest.raises(Conflict, match="longer than max_length 8"):
        runs.start(kind="dpo", dataset=dataset, policy=policy, config={"max_length": 8})
    assert Run.objects.count() == 0


def test_a_dataset_of_three_rows_is_refused_in_one_line(world: tuple[RewardDataset, Policy]) -> None:
    with pytest.raises(Conflict, match="3 are left, too few to learn from"):
        runs.start(kind="dpo", dataset=make_built_dataset("small", pairs=3), policy=world[1])


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"learning_rate": 1.0}, "config.learning_rate"),
        ({"loss": "hinge"}, "config.loss"),
        ({"label_smoothing": 0.1}, "config.label_smoothing"),
        ({"report_to": ["wandbee"]}, "config.report_to"),
    ],
)
def test_a_wrong_setting_is_named(world: tuple[RewardDataset, Policy], config: dict[str, Any], field: str) -> None:
    dataset, policy = world
    with pytest.raises(BadInput, match=field):
        runs.prepare(kind="dpo", dataset=dataset, policy=policy, config=config)


def test_policy_gradients_need_a_reward_model(world: tuple[RewardDataset, Policy]) -> None:
    dataset, policy = world
    with pytest.raises(BadInput, match="reward_model"):
        runs.prepare(kind="rloo", dataset=dataset, policy=policy)


def test_a_base_without_weights_is_planned_by_the_datasets_counts_alone(
    world: tuple[RewardDataset, Policy], settings: Any, tmp_path: Path
) -> None:
    dataset, policy = world
    settings.PLUMBLINE_BASES = {"tiny": str(tmp_path)}
    run = runs.prepare(kind="dpo", dataset=dataset, policy=policy)
    assert "nothing was estimated" in run.plan["note"] and "estimate" not in run.plan


def test_every_kind_is_registered_with_its_lineage(world: tuple[RewardDataset, Policy]) -> None:
    dataset, policy = world
    head = run_to_end(kind="reward", dataset=dataset, base="tiny")
    model = RewardModel.objects.get(run=head)
    assert model.form == "head" and (artifacts.path_of(model.artifact) / "predictions.parquet").exists()
    lora = run_to_end(kind="reward", dataset=dataset, base="tiny", config={"method": "lora", **SHORT})
    assert RewardModel.objects.get(run=lora).form == "classifier"
    for kind in ("kto", "sft"):
        done = run_to_end(kind=kind, dataset=dataset, policy=policy, config=SHORT)
        assert done.produced_policy is not None and done.produced_policy.parent == policy
        assert (artifacts.path_of(done.produced_policy.adapter) / "0" / "adapter_config.json").exists()
        assert {row["step"] for row in done.result["samples"]} == {0, 2}
    more = {"num_generations": 2, "max_new_tokens": 4, **SHORT}
    done = run_to_end(kind="rloo", dataset=dataset, policy=policy, reward_model=model, config=more)
    assert done.produced_policy is not None and done.produced_policy.parent == policy
    held = {row["name"]: row["ratio"] for row in estimates.compare(done.plan["estimate"], done.result)}
    assert held["steps"] == 1.0 and held["seconds"] > 0
    again = runs.prepare(kind="rloo", dataset=dataset, policy=policy, reward_model=model, config=more)
    assert "1 finished rloo run here, on this base" in again.plan["estimate"]["basis"]


def run_to_end(**asked: Any) -> Run:
    run = runs.execute(run_id=runs.start(**asked).pk)
    run.refresh_from_db()
    assert run.status == "done", (run.kind, run.note, run.log_tail)
    return run


def test_the_command_tells_the_plan_without_starting_anything(
    world: tuple[RewardDataset, Policy], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, policy = world
    call_command("train", "kto", "--dataset", dataset.name, "--base", policy.slug, "--plan")
    said = capsys.readouterr().out
    assert "max_steps" in said and "0 dropped" in said and "steps" in said and Run.objects.count() == 0
    with pytest.raises(CommandError, match="reward_model"):
        call_command("train", "grpo", "--dataset", dataset.name, "--base", policy.slug, "--plan")


def test_the_shape_of_a_model_comes_from_its_files(tiny_model: Path) -> None:
    shape = shape_of(tiny_model)
    assert 1_500_000 < shape.parameters < 2_500_000
    assert (shape.layers, shape.hidden, shape.vocabulary, shape.context) == (4, 192, 1024, 512)


def test_a_plan_of_another_kind_is_empty() -> None:
    run = make_run("generate")
    assert planning.plan(run) == {}
