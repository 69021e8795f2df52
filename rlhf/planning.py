"""The plan of a training before it starts: settings with reasons, rows that will be lost, what it will take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feedback.errors import BadInput, Conflict, NotFound, PlumblineError, Unavailable

from . import bases, estimates, presets, row_counts, spec, training_rows
from .estimates import Past
from .model_files import Shape, shape_of
from .models import Run
from .policy_kinds import FEWEST, TrainsPolicy

KINDS = ("reward", *spec.POLICY_KINDS)


def plan(run: Run, kind: Any = None) -> dict[str, Any]:
    """Fill in `run.config` (an unsaved run's, as it was given) and return what stands in `run.plan`.

    {"reasons": {field: why}, "rows": RowCounts, "estimate": Estimate, "note": what could not be known yet}. BadInput
    names the field that is wrong; Conflict when no row would be left. {} for kinds that do not train.
    """
    given = dict(run.config)
    if run.kind not in KINDS:
        run.config = check_config(run.kind, given)
        return {}
    check_config(run.kind, given)  # what was given is judged before anything is looked up
    model, note = _model(run.base)
    shape = _shape(model)
    try:
        rows: list[dict[str, Any]] | None = _rows(run, kind)
    except NotFound:  # files of a team may lie elsewhere
        rows, note = None, "The dataset's files are not on this machine: rows were not counted, nothing was estimated."
    known = {"parameters": shape.parameters, "context": shape.context} if shape else {"parameters": None}
    count = len(rows) if rows is not None else _told(run)
    chosen = presets.preset(run.kind, given, rows=count, **known)
    run.config = check_config(run.kind, {**{name: value for name, (value, _) in chosen.items()}, **given})
    found: dict[str, Any] = {"reasons": {name: why for name, (_, why) in chosen.items()}, "note": note}
    if shape is None or model is None or rows is None:
        return found
    return found | _weighed(run, rows, model, shape)


def _told(run: Run) -> int:
    """How many rows the dataset's own counts promise."""
    counts = run.dataset.counts if run.dataset else {}
    return len(run.inputs.get("pairs", [])) + sum(counts.get("rows", {}).get(name, 0) for name in ("train", "ties"))


def _weighed(run: Run, rows: list[dict[str, Any]], model: Path, shape: Shape) -> dict[str, Any]:
    """Rows counted and the work estimated. Conflict when nothing would be left to train on."""
    try:
        counts = row_counts.count(run.kind, rows, model, run.config, run.config.get("system_prompt", ""))
    except (OSError, ValueError, KeyError) as wrong:
        raise BadInput(f"base: its tokenizer cannot be used ({wrong}).", where="base") from wrong
    left = counts.rows - counts.dropped
    if left < FEWEST:
        lost = f"{counts.dropped} are longer than max_length {run.config['max_length']}; " if counts.dropped else ""
        raise Conflict(
            f"dataset: of {counts.rows} rows {lost}{left} are left, too few to learn from (at least {FEWEST}).",
            where="dataset",
        )
    guess = estimates.estimate(run.kind, run.config, shape, left, counts.tokens, _past(run, shape))
    return {"rows": counts.to_json(), "estimate": guess.to_json()}


def check_config(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """The config with its defaults written out; BadInput names the field."""
    try:
        checked = spec.parse_config(kind, config)
    except spec.SpecError as wrong:
        raise BadInput(f"{wrong.field}: {wrong.message}", where=wrong.field) from wrong
    filled: dict[str, Any] = spec.to_json(spec.Spec(kind=kind, run="", attempt=1, seed=0, config=checked))["config"]
    return filled


def _model(base: str) -> tuple[Path | None, str]:
    try:
        return bases.path_of(base), ""
    except Unavailable:
        return None, "The base model is still being made: rows were not counted, nothing was estimated."
    except NotFound as gone:  # the worker may have it
        return None, f"{gone.message} Rows were not counted, nothing was estimated."


def _shape(model: Path | None) -> Shape | None:
    if model is None:
        return None
    try:
        return shape_of(model)
    except (OSError, ValueError) as wrong:
        raise BadInput(f"base: it is no model directory that can be read ({wrong}).", where="base") from wrong


def _rows(run: Run, kind: Any) -> list[dict[str, Any]]:
    if isinstance(kind, TrainsPolicy):
        return kind.rows(run)
    return training_rows.reward_pairs(run)


def _past(run: Run, shape: Shape) -> list[Past]:
    """Finished runs of the kind (and method), newest first, with what the model alone had said of each."""
    method = run.config.get("method")
    rows = Run.objects.filter(kind=run.kind, status="done", attempt=1).exclude(plan={}).order_by("-finished_at")
    found = []
    for done in rows[: estimates.RECENT]:
        counts, took = done.plan.get("rows"), done.result
        known = counts and took.get("tokens") and took.get("seconds") and took.get("peak_memory_mb")
        if not known or done.config.get("method") != method:
            continue
        own = shape if done.base == run.base else _shape_or_none(done.base)
        if own is not None:
            seconds, memory = estimates.modelled(run.kind, done.config, own, took["tokens"], counts["tokens"])
            found.append(Past(done.base == run.base, seconds, took["seconds"], memory, took["peak_memory_mb"]))
    return found


def _shape_or_none(base: str) -> Shape | None:
    try:
        return shape_of(bases.path_of(base))
    except (PlumblineError, OSError, ValueError):
        return None
