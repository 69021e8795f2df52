"""Decisions: one sentence first, then every figure it rests on."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import Conflict, PlumblineError
from feedback.models import Prompt, Response
from feedback.stats.sequential import confidence_sequence

from .. import gates, guardrails, verdicts
from ..models import Decision, Deployment
from . import drawing
from .access import engineers

SHARES = drawing.Frame(34, 10, 394, 160, 0.0, 1.0)
LOOKS = 40  # points at which the confidence sequence is drawn
SHOWN = 5


@engineers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    found = Decision.objects.select_related("candidate", "live", "queue")
    page = Paginator(found, 50).get_page(request.GET.get("page"))
    rows = [(decision, gates.sentence(decision)) for decision in page]
    return render(request, "rlhf/decisions.html", {"page": page, "rows": rows})


@engineers
@require_GET
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page, or its moving part for htmx while the votes come in."""
    found = Decision.objects.select_related("candidate", "live", "queue", "override_by")
    decision = get_object_or_404(found, pk=pk)
    template = "rlhf/_decision.html" if request.htmx else "rlhf/decision.html"  # type: ignore[attr-defined]
    return render(request, template, decision_context(decision))


@engineers
@require_POST
def override(request: HttpRequest, pk: UUID) -> HttpResponse:
    decision = get_object_or_404(Decision, pk=pk)
    try:
        if decision.status != "refused":
            raise Conflict(f"Only a refused candidate can be promoted all the same; this one is {decision.status}.")
        gates.override(decision=decision, actor=request.user, reason=request.POST.get("reason", ""))  # type: ignore[arg-type]
        messages.success(request, f"{decision.candidate.slug} is live under {decision.alias} now.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:decision", pk)


@engineers
@require_POST
def abandon(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop a vote that is under way."""
    decision = get_object_or_404(Decision, pk=pk)
    try:
        gates.abandon(decision=decision, actor=request.user, reason=request.POST.get("reason", ""))  # type: ignore[arg-type]
        messages.success(request, "The vote is stopped. What was read stays stored.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:decision", pk)


def standing(decision: Decision) -> dict[str, Any]:
    """The sentence and the figures in the short form that other pages show as well."""
    return {"sentence": gates.sentence(decision), "figures": decision.figures, "simulated": simulated(decision)}


def simulated(decision: Decision) -> bool:
    """Whether simulated people stand behind it: stored with the verdict, looked up before."""
    return decision.simulated or decision.queue.judgments.filter(author_kind="simulated").exists()


def decision_context(decision: Decision) -> dict[str, Any]:
    figures = decision.figures
    deployment = Deployment.objects.filter(alias=decision.alias).first()
    return {
        "decision": decision,
        "standing": standing(decision),
        "figures": figures,
        "votes": figures.get("votes", []),
        "ballots": [ballot for ballot in charts(decision) if ballot["interval"]],
        "live_now": deployment is not None and deployment.policy_id == decision.candidate_id,
        "shares": shares(figures) if decision.decided_at and figures.get("n") else [],
        "guards": guards(decision),
        "joint": guardrails.joint_pass_rate(decision.guardrails) if decision.status != "preparing" else None,
        "rates": figures.get("rates") or verdicts.error_rates(gates.parse_rule(decision.rule), decision.alias),
        "samples": before_and_after(decision),
        "runs": decision.runs.order_by("created_at"),
        "voters": decision.queue.memberships.count(),
        "round": getattr(decision, "round", None),
    }


def charts(decision: Decision) -> list[dict[str, Any]]:
    """Against live, and against the anchor where that was asked: the confidence sequence and the rule's statistic."""
    sides = [(decision.live.slug, decision.figures)]
    if decision.anchor is not None and decision.figures.get("anchor"):
        sides.append((decision.anchor.slug, decision.figures["anchor"]))
    alpha = decision.rule.get("alpha", 0.05)
    return [
        {
            "opponent": slug,
            "figures": f,
            "interval": interval_chart([v["x"] for v in f["votes"]], alpha) if f.get("votes") else None,
            "path": path_chart(f) if f.get("votes") else None,
        }
        for slug, f in sides
    ]


SHARES_SAY = (
    ("people", "People’s votes", "the evidence; interval valid at every look"),
    ("length_controlled", "At equal length", "the same votes with length taken out"),
    ("style_controlled", "In equal style", "length, lists, headings and bold taken out"),
    ("predicted", "Predicted by the reward model", "trained on the same labels: decides nothing"),
)


def shares(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The people's win rate beside the ones that only explain it; bars from 0 to 1."""
    people = {"value": figures["share"], "low": figures["low"], "high": figures["high"], "n": figures["n"]}
    found = {**figures, "people": people}
    return [
        {"name": name, "says": says, "figure": found.get(key), "first": key == "people", **_bar(found.get(key))}
        for key, name, says in SHARES_SAY
    ]


def _bar(figure: dict[str, Any] | None) -> dict[str, Any]:
    if figure is None:
        return {}
    return {name: round(100 * figure[name], 1) for name in ("value", "low", "high")}


def guards(decision: Decision) -> list[dict[str, Any]]:
    """The guardrails as declared, with what came out once the votes have decided. None while answers are made."""
    if decision.status == "preparing":
        return []
    return decision.figures.get("guardrails") or decision.guardrails


def interval_chart(votes: list[float], alpha: float) -> dict[str, Any]:
    """The confidence sequence and the running share of votes for the candidate, vote by vote."""
    n = len(votes)
    steps = sorted({round(1 + i * (n - 1) / max(LOOKS - 1, 1)) for i in range(LOOKS)})
    limits = [confidence_sequence(votes[:k], alpha) for k in steps]
    means = [sum(votes[: k + 1]) / (k + 1) for k in range(n)]
    return {
        "band": drawing.band(SHARES, steps, [a for a, _ in limits], [b for _, b in limits], n),
        "line": drawing.line(SHARES, means),
        "half": SHARES.y(0.5),
        "n": n,
    }


def path_chart(figures: dict[str, Any]) -> dict[str, Any]:
    """The rule's statistic between the line that promotes and the line that refuses."""
    path, upper = figures["path"], figures["upper"]
    lower = figures.get("lower")
    bottom = min([*path, lower if lower is not None else -upper, 0.0])
    frame = drawing.Frame(34, 10, 394, 160, bottom * 1.15, max([*path, upper]) * 1.15)
    return {
        "line": drawing.line(frame, path),
        "upper": frame.y(upper),
        "lower": None if lower is None else frame.y(lower),
        "zero": frame.y(0.0),
        "n": len(path),
    }


def before_and_after(decision: Decision) -> list[dict[str, Any]]:
    """Five prompts drawn by the decision's seed, with both answers. Nothing while people still vote on them."""
    if decision.status in ("preparing", "voting"):
        return []
    entries = sorted(decision.entries, key=lambda entry: entry["prompt"])
    drawn = random.Random(decision.seed).sample(entries, min(SHOWN, len(entries)))
    prompts = {p.key: p for p in Prompt.objects.filter(key__in=[e["prompt"] for e in drawn])}
    keys = [e[side] for e in drawn for side in ("candidate", "live")]
    answers = {r.key: r for r in Response.objects.filter(key__in=keys)}
    said = {vote["prompt"]: vote["why"] for vote in decision.figures.get("votes", [])}
    return [
        {
            "prompt": prompts[e["prompt"]],
            "live": answers[e["live"]],
            "candidate": answers[e["candidate"]],
            "vote": said.get(e["prompt"]),
        }
        for e in drawn
        if e["prompt"] in prompts and e["live"] in answers and e["candidate"] in answers
    ]
