"""Pages beside the loops: the leaderboard, how long the gate prompts last, and the canary of an alias."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import BadInput, PlumblineError
from feedback.models import GATE_USES, Judgment, Policy, Queue

from .. import deployments, gate_prompts, leaderboard
from ..models import Deployment, DeploymentChange, Loop
from .access import engineers

SCALE = 2.5  # log odds at the edge of the interval's box


@engineers
@require_GET
def board(request: HttpRequest) -> HttpResponse:
    """One table for each kind of judge, never mixed; with or without style."""
    kind = request.GET.get("kind", "") or _kind_with_votes()
    kind = kind if kind in leaderboard.KINDS else "human"
    found = leaderboard.board(kind=kind, controlled=request.GET.get("style") == "1")
    context = {
        "board": found,
        "rows": [row | {"drawn": _drawn(row)} for row in found.rows],
        "kinds": leaderboard.KINDS,
        "policies": Policy.objects.filter(responses__prompt__split="dev").distinct().order_by("slug"),
        "queues": Queue.objects.filter(kind="comparison", purpose="label", status="open").order_by("slug"),
    }
    return render(request, "rlhf/leaderboard.html", context)


def _kind_with_votes() -> str:
    people = Judgment.objects.filter(item__prompt__split="dev")
    return next((kind for kind in leaderboard.KINDS if people.filter(author_kind=kind).exists()), "human")


def _drawn(row: dict[str, Any]) -> dict[str, float]:
    def at(value: float) -> float:
        return round(80 + 76 * max(-1.0, min(1.0, value / SCALE)), 1)

    return {"value": at(row["strength"]), "low": at(row["low"]), "high": at(row["high"])}


@engineers
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Put pairs of the chosen policies on dev prompts into a queue."""
    queue = get_object_or_404(Queue, slug=request.POST.get("queue", ""))
    chosen = list(Policy.objects.filter(slug__in=request.POST.getlist("policies")))
    try:
        limit = request.POST.get("limit", "40")
        if not limit.isdigit() or not 1 <= int(limit) <= 1000:
            raise BadInput("How many: a whole number from 1 to 1000.", where="limit")
        user: Any = request.user
        items = leaderboard.ask(policies=chosen, queue=queue, limit=int(limit), actor=user)
        messages.success(request, f"{len(items)} pairs wait in {queue.title}.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:leaderboard")


@engineers
@require_GET
def gate_budget(request: HttpRequest) -> HttpResponse:
    """How many fresh gate prompts are left, for the whole site and for each loop, and when more are needed."""
    rows: list[dict[str, Any]] = [{"name": "All gate prompts", "loop": None, "budget": gate_prompts.budget()}]
    for loop in Loop.objects.order_by("slug"):
        planned = int(loop.config.get("gate", {}).get("limit") or gate_prompts.PLANNED)
        found = gate_prompts.budget(prompt_filter=loop.prompt_filter, planned=planned)
        rows.append({"name": loop.title, "loop": loop, "budget": found})
    context = {"rows": rows, "uses": range(GATE_USES), "most": GATE_USES, "least": gate_prompts.MIN_PROMPTS}
    return render(request, "rlhf/gate_prompts.html", context)


@engineers
@require_GET
def deployment_list(request: HttpRequest) -> HttpResponse:
    found = Deployment.objects.select_related("policy", "canary").order_by("alias")
    changes = DeploymentChange.objects.select_related("policy", "previous", "decision", "actor", "deployment")
    rows = [{"deployment": d, "changes": changes.filter(deployment=d)[:10]} for d in found]
    return render(request, "rlhf/deployments.html", {"rows": rows, "policies": Policy.objects.order_by("-pk")[:200]})


@engineers
@require_POST
def canary(request: HttpRequest, alias: str) -> HttpResponse:
    """Send a share of the keys to a policy; a share of nothing recalls the canary."""
    get_object_or_404(Deployment, alias=alias)
    user: Any = request.user
    reason = request.POST.get("reason", "")
    try:
        if request.POST.get("recall"):
            deployments.recall_canary(alias=alias, reason=reason, actor=user)
            messages.success(request, f"All keys of {alias} go to the stable policy again.")
        else:
            policy = get_object_or_404(Policy, slug=request.POST.get("policy", ""))
            share = _percent(request.POST.get("percent", ""))
            deployments.start_canary(policy=policy, share=share, alias=alias, reason=reason, actor=user)
            messages.success(request, f"{policy.slug} answers {share:.0%} of the keys of {alias}.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:deployments")


def _percent(text: str) -> float:
    try:
        return float(text) / 100
    except ValueError as wrong:
        raise BadInput("Share: a number of percent, above 0 and below 100.", where="percent") from wrong
