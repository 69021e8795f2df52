"""Doing a run again: its recipe, the commands that repeat it, and its directory laid out anywhere."""

from __future__ import annotations

import json
import shlex
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from feedback.errors import BadInput, Conflict

from . import run_dirs, spec
from .models import Run

TRAINED_BY_NAME = ("reward", *spec.POLICY_KINDS)


def recipe(run: Run) -> dict[str, Any]:
    """Everything that the run's result depends on, and the commands that repeat it."""
    return {
        "run": str(run.pk),
        "kind": run.kind,
        "seed": run.seed,
        "config": run.config,
        "dataset": run.dataset.digest if run.dataset else None,
        "policy": run.policy.slug if run.policy else None,
        "base": run.base or None,
        "inputs": run.stands_on,
        "versions": run.result.get("versions", {}),
        "artifact": run.artifact or None,
        "commands": commands(run),
    }


def commands(run: Run) -> list[str]:
    """Shell lines: lay out and run the engine by hand; and, where a person could order the same, the order."""
    if run.kind not in spec.KINDS:
        return []
    lines = [f"bin/manage reproduce {run.pk} --into DIR", ".venv/bin/python -m rlhf.engine DIR"]
    if run.kind in TRAINED_BY_NAME and run.dataset and not run.inputs:
        base = run.policy.slug if run.policy else run.base
        rewarder = f" --reward-model {run.reward_model.slug}" if run.reward_model else ""
        config = shlex.quote(json.dumps(run.config))
        lines.append(
            f"bin/manage train {run.kind} --dataset {run.dataset.digest} --base {base} --seed {run.seed}{rewarder} "
            f"--config <(echo {config}) --wait"
        )
    return lines


def lay_out(*, run: Run, into: Path, copy: bool = False) -> list[str]:
    """The run's directory, ready for `python -m rlhf.engine`; returns what is not as it was when the run ran.

    Inputs are links to artifacts of this machine; with `copy` the directory stands alone and may be carried away.
    BadInput when the directory holds something already, Conflict when no engine works for such a run.
    """
    if run.kind not in spec.KINDS:
        raise Conflict(f"No engine works for a run of kind {run.kind}: there is nothing to run again.")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BadInput(f"{into} is not an empty directory.", where="into")
    into.mkdir(parents=True, exist_ok=True)
    found = run_dirs.lay_out(run, into)
    if copy:
        _stand_alone(into / "inputs")
    (into / "reproduce.json").write_text(json.dumps(recipe(run), indent=1))
    return [*_changed_inputs(run.stands_on, found), *changed_versions(run)]


def _stand_alone(inputs: Path) -> None:
    (inputs / run_dirs.CACHE).unlink(missing_ok=True)
    for path in inputs.iterdir():
        if path.is_symlink():
            target = path.resolve()
            path.unlink()
            if target.is_dir():
                shutil.copytree(target, path)
            else:
                shutil.copy2(target, path)


def _changed_inputs(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    if not then:
        return ["the run kept no digests of its inputs, so nobody can say whether they are the same"]
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return [f"inputs/{name} is not what the run read" for name in names]


def changed_versions(run: Run) -> list[str]:
    """Packages that are not here in the version that the run used."""
    lines = []
    for name, version in run.result.get("versions", {}).items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            lines.append(f"{name} is {here} here, the run used {version}")
    return lines
