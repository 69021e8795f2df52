"""A policy trained elsewhere: by path, by base name, by hub id; only what may be read, only whole safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import BadInput, Conflict, NotFound, PlumblineError
from rlhf import artifacts, bases, evaluations, external, lineage, runs
from rlhf.models import Base, Run
from tests.factories import make_policy
from tests.factories_rlhf import make_built_dataset, make_dataset
from tests.rlhf.scripted import carried_out, scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("scripted")]


def tensors(path: Path, *, cut: int = 0) -> None:
    """A safetensors file of one tensor of four bytes."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + b"\0\0\0\0"
    path.write_bytes(whole[: len(whole) - cut])


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    """The one directory below which paths may lie."""
    root = tmp_path / "cluster"
    root.mkdir()
    settings.PLUMBLINE_EXTERNAL_ROOTS = [str(root)]
    return root


def model(folder: Path, config: str = "config.json") -> Path:
    folder.mkdir()
    (folder / config).write_text("{}")
    tensors(folder / ("model.safetensors" if config == "config.json" else "adapter_model.safetensors"))
    return folder


def registered(artifact: Path | str, **order: Any) -> Run:
    base = order.pop("base", None) or make_policy(kind="local", base="toy", system_prompt="Be kind.")
    dataset = order.pop("dataset", None) or make_dataset()
    return carried_out(external.order(dataset=dataset, artifact=str(artifact), base=base, **order))


def test_a_model_directory_becomes_a_policy_with_full_lineage_and_is_referred_to_not_copied(root: Path) -> None:
    source = model(root / "mine-8b")
    (source / "train.py").write_text("import os")
    metrics = {"loss": 0.4, "win": {"value": 0.6, "se": 0.02, "n": 500}}
    run = registered(source, slug="mine-8b", metrics=metrics, dataset=make_built_dataset())
    assert (run.status, run.note) == ("done", "")
    policy = run.produced_policy
    assert policy is not None and (policy.slug, policy.base, policy.parent) == ("mine-8b", "mine-8b", run.policy)
    assert policy.system_prompt == "Be kind."
    assert sorted(p.name for p in bases.path_of("mine-8b").iterdir()) == [
        "artifact.json", "config.json", "model.safetensors"
    ]  # fmt: skip
    assert (bases.path_of("mine-8b") / "model.safetensors").resolve() == (source / "model.safetensors").resolve()
    assert evaluations.latest(policy=policy, evaluator=external.REPORTED).figures["win"]["n"] == 500  # type: ignore[union-attr]
    above = lineage.up(lineage.node("policy", "mine-8b"))
    assert {"dataset", "run", "judgment"} <= {n.type for n in above.nodes}


def test_what_changes_behind_the_reference_is_found_out(root: Path) -> None:
    source = model(root / "m")
    run = registered(source)
    assert artifacts.verify(run.artifact) == []
    (source / "config.json").write_text('{"other": 1}')
    assert artifacts.verify(run.artifact) == ["config.json"]


def test_an_adapter_is_the_last_link_of_its_parents_chain(root: Path, tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    chain.mkdir()
    model(chain / "0", "adapter_config.json")
    parent = make_policy(kind="local", base="toy", adapter=artifacts.publish(chain, kind="dpo"))
    run = registered(model(root / "lora", "adapter_config.json"), base=parent)
    assert run.status == "done", run.note
    policy = run.produced_policy
    assert policy is not None and (policy.base, policy.adapter) == ("toy", run.artifact)
    names = sorted(p.name for p in artifacts.path_of(run.artifact).iterdir() if p.is_dir())
    assert names == ["0", "1"]


def test_a_hub_model_is_a_reference_whose_digest_is_plainly_unknown() -> None:
    run = registered("org/model-8B@main", slug="theirs")
    assert run.status == "done", run.note
    policy = run.produced_policy
    assert policy is not None and policy.kind == "external" and "not known" in policy.note
    assert json.loads((artifacts.path_of(run.artifact) / "reference.json").read_text())["digest"] is None


def test_an_entry_of_the_settings_bases_is_taken_by_name(settings: Any, tmp_path: Path) -> None:
    settings.PLUMBLINE_BASES = {"their-8b": str(model(tmp_path / "elsewhere"))}
    run = registered("their-8b", slug="tuned")
    assert run.status == "done", run.note
    assert run.produced_policy is not None and run.produced_policy.base == "their-8b"
    assert not Base.objects.exists()


@pytest.mark.parametrize(
    ("artifact", "error", "says"),
    [
        ("/etc", BadInput, "outside the directories"),
        ("{root}/../secrets", BadInput, "outside the directories"),
        ("{root}/gone", NotFound, "no directory"),
        ("relative", BadInput, "full path"),
        ("ab" * 32, NotFound, "not on this machine"),
    ],
)
def test_what_may_not_be_read_is_refused_when_it_is_ordered(root: Path, artifact: str, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        external.order(
            dataset=make_dataset(), artifact=artifact.format(root=root), base=make_policy(kind="local", base="toy")
        )
    assert not Run.objects.exists()


@pytest.mark.parametrize("wrong", ["pickle", "cut", "garbage", "escape", "no config"])
def test_a_directory_that_is_no_model_is_refused_in_one_line_and_makes_nothing(root: Path, wrong: str) -> None:
    source = model(root / "m")
    if wrong == "pickle":
        (source / "model.safetensors").rename(source / "pytorch_model.bin")
    elif wrong == "cut":
        tensors(source / "model.safetensors", cut=2)
    elif wrong == "garbage":
        (source / "model.safetensors").write_bytes(b"not tensors at all")
    elif wrong == "escape":
        (source / "config.json").unlink()
        (source / "config.json").symlink_to("/etc/hostname")
    else:
        (source / "config.json").unlink()
    run = registered(source)
    assert run.status == "failed" and run.error["code"] == "bad_input" and str(source) in run.note
    assert run.produced_policy is None and not Base.objects.exists()


def test_bad_metrics_a_taken_slug_and_an_unready_dataset_are_refused(root: Path) -> None:
    base, source = make_policy("taken", kind="local", base="toy"), str(model(root / "m"))
    refused: list[tuple[dict[str, Any], type[PlumblineError], str]] = [
        ({"metrics": {"loss": "low"}}, BadInput, "metrics.loss.value"),
        ({"slug": "taken"}, Conflict, "taken"),
        ({"dataset": make_dataset(status="building", digest="")}, Conflict, "not ready"),
    ]
    for order, error, says in refused:
        with pytest.raises(error, match=says):
            external.order(**{"dataset": make_dataset(), "artifact": source, "base": base, **order})


def test_an_engine_is_never_asked_for_an_external_run() -> None:
    with pytest.raises(BadInput, match="kind"):
        runs.start(kind="external", dataset=make_dataset(), base="toy")
