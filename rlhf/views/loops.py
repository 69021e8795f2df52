"""The circle: where each loop's open round is, why it waits, and what every step made."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import PlumblineError
from feedback.models import Item, Judgment

from .. import alarms, budgets, loops, worth
from ..models import Alarm, Deployment, Loop, RewardModel, Round
from ..timetable import Stop, step_runs, stops
from ..worth_figure import figure
from .access import engineers
from .decisions import standing

CENTRE, RADIUS = 210.0, 150.0


@engineers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    rows = [
        {"loop": loop, "round": loop.rounds.first(), "live": Deployment.objects.filter(alias=loop.alias).first()}
        for loop in Loop.objects.select_related("queue").order_by("slug")
    ]
    return render(request, "rlhf/loops.html", {"rows": rows})


@engineers
@require_GET
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """The page, or its moving part for htmx."""
    loop = get_object_or_404(Loop.objects.select_related("queue"), slug=slug)
    context = loop_context(loop, request.GET.get("round", ""))
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "rlhf/_loop.html", context)
    return render(request, "rlhf/loop.html", context | {"worth": worth_context(loop), "budget": budget_context(loop)})


@engineers
@require_POST
def close_alarm(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """A person has looked at an alarm and says what it was."""
    alarm = get_object_or_404(Alarm.objects.filter(loop__slug=slug), pk=pk)
    try:
        alarms.close(alarm=alarm, actor=request.user, note=request.POST.get("note", ""))  # type: ignore[arg-type]
        messages.success(request, "The alarm is closed. A loop that it paused can be started again.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:loop", slug)


def worth_context(loop: Loop) -> dict[str, Any]:
    """The figure "how much better per human label", its table, and an answer before and now."""
    points = [point.as_json() for point in worth.points(loop)]
    simulated = worth.simulated(loop)
    drawn = figure(points, simulated=simulated) if points else None
    return {"points": points, "figure": drawn, "simulated": simulated, "example": worth.example(loop)}


def budget_context(loop: Loop) -> list[dict[str, Any]]:
    """What was spent of each limit; only limits that are set, or prices that make money of labels."""
    limits = budgets.Budget.parse(loop.config.get("budget", {}))
    have = budgets.spent(loop, limits)
    rows = (("labels", "judgments"), ("hours", "machine hours"), ("money", "money"))
    return [
        {"what": words, "spent": getattr(have, name), "limit": getattr(limits, name)}
        for name, words in rows
        if name != "money" or limits.per_label or limits.per_hour
    ]


@engineers
@require_POST
def go(request: HttpRequest, slug: str) -> HttpResponse:
    """Do not wait for the full number of preferences: start with what there is."""
    loop = get_object_or_404(Loop, slug=slug)
    messages.info(request, loops.tick(loop=loop, force=True))
    return redirect("rlhf:loop", slug)


@engineers
@require_POST
def retry(request: HttpRequest, slug: str) -> HttpResponse:
    loop = get_object_or_404(Loop, slug=slug)
    try:
        loops.retry(round_=loops.current(loop), actor=request.user)  # type: ignore[arg-type]
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:loop", slug)


@engineers
@require_POST
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    """Pause an active loop, start a paused one."""
    loop = get_object_or_404(Loop, slug=slug)
    try:
        loops.set_active(loop=loop, active=loop.status == "paused", actor=request.user)  # type: ignore[arg-type]
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:loop", slug)


def loop_context(loop: Loop, number: str = "") -> dict[str, Any]:
    """Everything the loop's page shows of one round (the latest unless `number` names another)."""
    rounds = list(loop.rounds.select_related("dataset", "decision", "live", "best_of", "reward_run", "train_run"))
    round_ = next((r for r in rounds if str(r.number) == number), rounds[0] if rounds else None)
    context: dict[str, Any] = {
        "loop": loop,
        "round": round_,
        "rounds": rounds,
        "latest": bool(rounds) and round_ is rounds[0],
        "config": loops.LoopConfig.parse(loop.config),
        "live": Deployment.objects.filter(alias=loop.alias).select_related("policy").first(),
        "simulated": Judgment.objects.filter(queue=loop.queue, author_kind="simulated").exists(),
        "alarms": Alarm.objects.filter(loop=loop, status="open").select_related("round"),
        "past": [_summary(r) for r in rounds if r.status == "closed"],
    }
    return context | (round_context(round_) if round_ else {})


def round_context(round_: Round) -> dict[str, Any]:
    times = stops(round_)
    return {
        "stops": [(stop, made(round_, stop.name)) for stop in times],
        "circle": circle(times),
        "figures": _summary(round_),
        "moving": round_.status not in ("closed", "failed"),
        "next_items": _next_items(round_),
    }


def circle(times: list[Stop]) -> list[dict[str, Any]]:
    """Places of the steps on the circle, the first at the top, clockwise; text stands outside."""
    places = []
    for n, stop in enumerate(times):
        angle = 2 * math.pi * n / len(times) - math.pi / 2
        across = math.cos(angle)
        places.append(
            {
                "stop": stop,
                "x": round(CENTRE + RADIUS * across, 1),
                "y": round(CENTRE + RADIUS * math.sin(angle), 1),
                "tx": round(CENTRE + (RADIUS + 22) * across, 1),
                "ty": round(CENTRE + (RADIUS + 26) * math.sin(angle) + 5, 1),
                "anchor": "middle" if abs(across) < 0.3 else "start" if across > 0 else "end",
            }
        )
    return places


def made(round_: Round, name: str) -> dict[str, Any]:
    """What a step left behind, by kind of thing: runs, dataset, policies, decision, and words for counts."""
    return {"runs": step_runs(round_, name), **MADE.get(name, lambda _: {})(round_)}


def _trained(round_: Round) -> dict[str, Any]:
    policy = round_.train_run.produced_policy if round_.train_run else None
    pairs = round_.facts.get("ranked_pairs")
    words = f"{pairs} pairs picked by the head" if pairs is not None else ""
    return {"policies": [p for p in (policy, round_.best_of) if p], "words": words}


def _count_of(name: str, words: str) -> Any:
    """Says how many `name` there are among the round's facts, once it is known."""

    def say(round_: Round) -> dict[str, Any]:
        found = round_.facts.get(name)
        count = len(found) if isinstance(found, list) else found
        return {} if found is None else {"words": f"{count} {words}"}

    return say


def _asked(round_: Round) -> dict[str, Any]:
    facts = round_.facts
    if "asked" not in facts:
        return {}
    arms = ", ".join(f"{n} {arm}" for arm, n in facts.get("arms", {}).items() if arm in ("control", "active"))
    return {"words": f"{facts['asked']} new pairs in the queue ({arms})"}


MADE: dict[str, Any] = {
    "collecting": _count_of("new_judgments", "new judgments"),
    "gathering": lambda r: {"dataset": r.dataset},
    "rewarding": lambda r: {"reward_model": reward_model_of(r)},
    "training": _trained,
    "answering": _count_of("gate_prompts", "gate prompts"),
    "voting": lambda r: {"decision": r.decision},
    "asking": _asked,
}


def reward_model_of(round_: Round) -> RewardModel | None:
    return RewardModel.objects.filter(run_id=round_.reward_run_id).first() if round_.reward_run_id else None


def _summary(round_: Round) -> dict[str, Any]:
    """The figures a round stands for, in the page's head and in the table of past rounds."""
    reward = round_.facts.get("reward", {})
    return {
        "round": round_,
        "labels": round_.facts.get("new_judgments"),
        "pairs": round_.facts.get("pairs"),
        "ties": round_.facts.get("ties"),
        "reward": reward,
        "decision": round_.decision,
        "standing": standing(round_.decision) if round_.decision else None,
    }


def _next_items(round_: Round) -> list[Item]:
    """A few of the pairs that this round put back into the queue."""
    if "asked" not in round_.facts:
        return []
    newest = Item.objects.filter(queue=round_.loop.queue, status="open", arm__in=("control", "active"))
    return list(newest.select_related("prompt").order_by("-pk")[:5])
