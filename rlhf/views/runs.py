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

from .. import runs
from ..models import RewardModel, Run
from ..run_kinds import KINDS
from ..timetable import seconds_left
from .access import engineers

POINTS = 600  # of a curve in the page; longer ones are thinned


class Curve:
    """What a metric is, in words, and what a healthy curve looks like."""

    def __init__(self, title: str, healthy: str) -> None:
        self.title, self.healthy = title, healthy


CURVES: dict[str, Curve] = {
    "loss": Curve(
        "Loss", "Falls and then levels off. For DPO it starts at .69; near 0 within a few steps means memorising."
    ),
    "accuracy": Curve(
        "Pairs ordered right", "Rises from about one half and settles below 1; 1 early on small data is memorising."
    ),
    "margin": Curve(
        "Margin between chosen and rejected",
        "Rises slowly and keeps rising; a jump means that the learning rate is too high.",
    ),
    "reward_chosen": Curve(
        "Reward of chosen answers",
        "Stays level or rises a little. Falling together with the rejected ones is common; falling fast is not.",
    ),
    "reward_rejected": Curve("Reward of rejected answers", "Falls, faster than that of the chosen ones."),
    "lr": Curve("Learning rate", "Rises during warm-up, then falls to 0 as planned."),
    "gradient_norm": Curve("Gradient norm", "Level or slowly falling; spikes say that single batches pull hard."),
    "tokens_per_second": Curve(
        "Tokens a second", "Level. A slow decline means longer texts, a sudden one a busy machine."
    ),
    "finish_rate": Curve("Answers that end by themselves", "High and level; low means that answers are cut short."),
}
SAME = {  # as trainers elsewhere name them
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "learning_rate": "lr",
    "grad_norm": "gradient_norm",
}


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
    template = "rlhf/_run.html" if request.htmx else "rlhf/run.html"  # type: ignore[attr-defined]
    context = {
        "run": run,
        "left": seconds_left(run),
        "made_model": RewardModel.objects.filter(run=run).first(),
        "makes": KINDS[run.kind].makes if run.kind in KINDS else "",
        "seconds": (run.finished_at - run.started_at) if run.finished_at and run.started_at else None,
    }
    return render(request, template, context)


@engineers
@require_GET
def metrics(request: HttpRequest, pk: UUID) -> JsonResponse:
    """Curves and the log's end, for the page's script."""
    run = get_object_or_404(Run, pk=pk)
    return JsonResponse({"finished": run.finished, "log": run.log_tail, "curves": curves(run)})


def curves(run: Run) -> list[dict[str, Any]]:
    """The run's metrics by name, known ones first: {"name", "title", "healthy", "points": [[step, value]]}."""
    points: dict[str, list[list[float]]] = {}
    for step, name, value in run.metrics.order_by("step").values_list("step", "name", "value"):
        points.setdefault(name, []).append([step, value])
    order = {name: n for n, name in enumerate(CURVES)}
    known_first = sorted((order.get(_known(name), len(order)), name) for name in points)
    return [_curve(name, points[name]) for _, name in known_first]


def _known(name: str) -> str:
    """The name under which a trainer's metric stands in CURVES."""
    return SAME.get(name, name)


def _curve(name: str, points: list[list[float]]) -> dict[str, Any]:
    known = CURVES.get(_known(name))
    every = max(1, len(points) // POINTS)
    kept = points[::every] if points[-1] in points[::every] else [*points[::every], points[-1]]
    return {
        "name": name,
        "title": known.title if known else name.replace("_", " ").replace("/", ": "),
        "healthy": known.healthy if known else "",
        "points": kept,
    }


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
