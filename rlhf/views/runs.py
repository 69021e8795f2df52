"""Runs: how far they are, their curves, their log, and the buttons that stop or go on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import PlumblineError

from .. import health, reproducing, run_costs, run_samples, runs
from ..models import RewardModel, Run
from ..run_kinds import KINDS
from ..timetable import seconds_left
from .access import engineers

POINTS = 600  # of a curve in the page; longer ones are thinned
ROWS = 16  # of the figures as a table
COMPARED = 6  # runs on one chart


@engineers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    found = Run.objects.select_related("policy", "dataset")
    pages = Paginator(found, 50)
    return render(request, "rlhf/runs.html", {"page": pages.get_page(request.GET.get("page"))})


@engineers
@require_GET
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page, or its moving part for htmx."""
    found = Run.objects.select_related("policy", "dataset", "reward_model", "produced_policy", "created_by")
    run = get_object_or_404(found, pk=pk)
    drawn = curves(run)
    context: dict[str, Any] = {
        "run": run,
        "left": seconds_left(run),
        "warnings": [(health.CURVES[w.curve].title, w.words) for w in warnings_of(run, drawn)],
        "facts": run_costs.facts(run),
    }
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "rlhf/_run.html", context)
    context |= {
        "made_model": RewardModel.objects.filter(run=run).first(),
        "makes": KINDS[run.kind].makes if run.kind in KINDS else "",
        "table": as_table(drawn),
        "samples": run_samples.table(run),
        "commands": reproducing.commands(run),
        "others": others(run),
    }
    return render(request, "rlhf/run.html", context)


def others(run: Run) -> list[Run]:
    """Runs that this one is worth comparing with: the same kind, newest first."""
    return list(Run.objects.filter(kind=run.kind, metrics__isnull=False).exclude(pk=run.pk).distinct()[:10])


@engineers
@require_GET
def figures(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The curves as a table: for whoever cannot see a chart, and without scripts."""
    return render(request, "rlhf/_run_table.html", {"table": as_table(curves(get_object_or_404(Run, pk=pk)))})


@engineers
@require_GET
def metrics(request: HttpRequest, pk: UUID) -> JsonResponse:
    """Curves and the log's end, for the page's script."""
    run = get_object_or_404(Run, pk=pk)
    drawn = curves(run)
    return JsonResponse({"finished": run.finished, "log": run.log_tail, "curves": drawn})


@engineers
@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Several runs on one chart a figure, beside what is different between their settings."""
    chosen = _chosen(request)
    context = {
        "runs": [{"run": run, "facts": run_costs.facts(run), "letter": "ABCDEF"[n]} for n, run in enumerate(chosen)],
        "differences": differences(chosen),
        "ends": last_values(chosen),
        "choice": Run.objects.filter(metrics__isnull=False).distinct()[:30],
        "picked": {run.pk for run in chosen},
        "query": request.GET.urlencode(),
        "most": COMPARED,
    }
    return render(request, "rlhf/runs_compare.html", context)


@engineers
@require_GET
def compared_metrics(request: HttpRequest) -> JsonResponse:
    """The curves of several runs, by figure, for the comparison's script."""
    chosen = _chosen(request)
    drawn: dict[str, dict[str, Any]] = {}
    for n, run in enumerate(chosen):
        for curve in curves(run):
            entry = drawn.setdefault(health.known(curve["name"]), {**curve, "lines": [], "points": []})
            entry["lines"].append({"run": f"{'ABCDEF'[n]}: {run}", "points": curve["points"]})
    order = {name: n for n, name in enumerate(health.CURVES)}
    found = sorted(drawn.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0]))
    return JsonResponse({"finished": all(run.finished for run in chosen), "curves": [curve for _, curve in found]})


def _chosen(request: HttpRequest) -> list[Run]:
    """The runs that the address names, in its order, each once; what is no run's id is passed over."""
    wanted = []
    for text in request.GET.getlist("runs"):
        try:
            wanted.append(UUID(text))
        except ValueError:
            continue
    found = Run.objects.select_related("dataset", "policy").in_bulk(list(dict.fromkeys(wanted))[:COMPARED])
    return [found[pk] for pk in dict.fromkeys(wanted) if pk in found]


def differences(chosen: list[Run]) -> list[tuple[str, list[Any]]]:
    """Settings that are not the same in all of the runs: (name, value of each run)."""
    facts = [{"kind": r.kind, "dataset": r.dataset and r.dataset.name, "policy": r.policy and r.policy.slug,
              "base": r.base, "seed": r.seed, **r.config} for r in chosen]  # fmt: skip
    names = list(dict.fromkeys(name for fact in facts for name in fact))
    rows = [(name, [fact.get(name, "–") for fact in facts]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]


def last_values(chosen: list[Run]) -> list[tuple[str, list[Any]]]:
    """Where each run's curves stand at their end: (title, value of each run, None where it has no such curve)."""
    found: dict[str, list[Any]] = {}
    for n, run in enumerate(chosen):
        for curve in curves(run):
            found.setdefault(curve["title"], [None] * len(chosen))[n] = curve["points"][-1][1]
    return list(found.items())


def curves(run: Run) -> list[dict[str, Any]]:
    """The metrics by name, known ones first: {"name", "title", "healthy", "warning", "points": [[step, value]]}."""
    points: dict[str, list[list[float]]] = {}
    for step, name, value in run.metrics.order_by("step").values_list("step", "name", "value"):
        points.setdefault(name, []).append([step, value])
    order = {name: n for n, name in enumerate(health.CURVES)}
    known_first = sorted((order.get(health.known(name), len(order)), name) for name in points)
    drawn = [_curve(name, points[name]) for _, name in known_first]
    warned = {w.curve: w.words for w in warnings_of(run, drawn)}
    return [curve | {"warning": warned.get(health.known(curve["name"]), "")} for curve in drawn]


def warnings_of(run: Run, drawn: list[dict[str, Any]]) -> list[health.Warning]:
    whole = {curve["name"]: curve["points"] for curve in drawn}
    return health.warnings(whole, kind=run.kind, finished=run.finished)


def _curve(name: str, points: list[list[float]]) -> dict[str, Any]:
    known = health.CURVES.get(health.known(name))
    every = max(1, len(points) // POINTS)
    kept = points[::every] if points[-1] in points[::every] else [*points[::every], points[-1]]
    return {
        "name": name,
        "title": known.title if known else name.replace("_", " ").replace("/", ": "),
        "healthy": known.healthy if known else "",
        "points": kept,
    }


def as_table(drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """Titles, and at most ROWS steps, the last one among them, with a value or None for each curve."""
    values = [dict(map(tuple, curve["points"])) for curve in drawn]
    steps = sorted({step for curve in values for step in curve})
    every = max(1, -(-len(steps) // ROWS))
    kept = steps[::-1][::every][::-1]
    rows = [(int(step), [curve.get(step) for curve in values]) for step in kept]
    return {"titles": [curve["title"] for curve in drawn], "rows": rows}


@engineers
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    return _do(request, run, lambda: runs.cancel(run=run, actor=request.user))  # type: ignore[arg-type]


@engineers
@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    run = get_object_or_404(Run, pk=pk)
    return _do(request, run, lambda: runs.resume(run=run, actor=request.user))  # type: ignore[arg-type]


def _do(request: HttpRequest, run: Run, verb: Any) -> HttpResponse:
    try:
        verb()
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:run", run.pk)
