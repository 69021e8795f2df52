"""Policies, reward models, and the aliases that point at policies."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import PlumblineError
from feedback.models import Policy, Response
from feedback.stats.reward_reports import Bin

from .. import deployments, registry, reward_reports
from ..models import Deployment, RewardModel, Run
from ..templatetags.rlhf_figures import estimate_parts
from . import drawing
from .access import engineers


@engineers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """What is live, policies, reward models; archived ones only when asked for."""
    all_of_them = request.GET.get("archived") == "1"
    shown = {} if all_of_them else {"archived_at": None}
    context = {
        "all": all_of_them,
        "archived": Policy.objects.exclude(archived_at=None).count()
        + RewardModel.objects.exclude(archived_at=None).count(),
        "deployments": Deployment.objects.select_related("policy").order_by("alias"),
        "policies": Policy.objects.filter(**shown)
        .annotate(answers=Count("responses"))
        .select_related("parent")
        .order_by("-pk"),
        "reward_models": RewardModel.objects.filter(**shown).select_related("run__dataset"),
    }
    return render(request, "rlhf/policies.html", context)


@engineers
@require_GET
def policy(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Policy.objects.select_related("parent"), slug=slug)
    context = {
        "policy": found,
        "run": Run.objects.filter(produced_policy=found).select_related("dataset").first(),
        "head": RewardModel.objects.filter(artifact=found.head).first() if found.head else None,
        "aliases": [_alias(d, found) for d in Deployment.objects.select_related("policy").order_by("alias")],
        "decisions": found.decisions.select_related("live"),
        "evaluations": found.evaluations.order_by("-pk")[:10],
        "answers": found.responses.count(),
        "samples": _samples(found),
    }
    return render(request, "rlhf/policy.html", context)


def _alias(deployment: Deployment, policy: Policy) -> dict[str, Any]:
    """An alias as this policy sees it: whether it is live there, what was, and whether a decision speaks for it."""
    changes = list(deployment.changes.select_related("policy", "previous", "decision", "actor")[:20])
    return {
        "deployment": deployment,
        "here": deployment.policy_id == policy.pk,
        "was_here": any(policy.pk in (c.policy_id, c.previous_id) for c in changes),
        "changes": changes,
        "decision": policy.decisions.filter(alias=deployment.alias, live=deployment.policy, status="promoted").first(),
    }


def _samples(policy: Policy) -> list[Response]:
    """A few of its answers. Gate prompts are read by decisions only, so they are not among them."""
    return list(
        Response.objects.filter(policy=policy)
        .exclude(prompt__split="gate")
        .select_related("prompt")
        .order_by("prompt__split", "prompt__key", "draw")[:4]
    )


@engineers
@require_GET
def reward_model(request: HttpRequest, slug: str) -> HttpResponse:
    model = get_object_or_404(RewardModel.objects.select_related("run__dataset"), slug=slug)
    found = reward_reports.report(model, names=request.user.is_admin)  # type: ignore[union-attr]
    context = {
        "model": model,
        "figures": model.figures,
        "versus": versus(model.figures, found),
        "rest": {k: v for k, v in model.figures.items() if k not in SHOWN},
        "chosen_by": Policy.objects.filter(head=model.artifact),
        "runs": model.used_by.all()[:20],
        "report": found,
        "diagram": diagram(found["bins"]) if found else None,
    }
    return render(request, "rlhf/reward_model.html", context)


def versus(figures: dict[str, Any], found: dict[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Accuracy beside length alone and what people agree on, as bars of a 100 wide box (places from 0 to 100)."""
    rows = []
    for words, name in (("this model", "accuracy"), ("longer wins", "longer_wins"), ("shorter wins", "shorter_wins")):
        value, low, high, _ = estimate_parts(figures.get(name))
        if value is not None and low is not None:
            places = {"width": round(100 * value, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}
            rows.append((words, {"share": figures[name], **places}))
    if found and found["human_lines"]:
        low, high = found["human_lines"]
        agree = found["agreement"]
        between = {"width": round(100 * high, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}
        rows.append(("two people agree", {"share": list(agree), **_places(agree)}))
        rows.append(("possible at most", {"share": [low, low, high], "words": (low, high), **between}))
    return rows


def _places(figure: Any) -> dict[str, float]:
    return {
        "width": round(100 * figure.value, 1),
        "low": round(100 * figure.low, 1),
        "high": round(100 * figure.high, 1),
    }


FRAME = drawing.Frame(40, 10, 230, 200, 0.5, 1.0)


def diagram(bins: list[Bin]) -> dict[str, Any]:
    """The reliability diagram of a 240 by 235 box: a dot and a whisker a bin, the diagonal, ticks."""

    def x(value: float) -> float:
        return FRAME.x(2 * (min(1.0, max(0.5, value)) - 0.5), 1)

    dots = [
        {"x": x(b.predicted), "y": FRAME.y(b.observed.value), "low": FRAME.y(b.observed.low),
         "high": FRAME.y(b.observed.high), "bin": b}
        for b in bins
    ]  # fmt: skip
    ticks = [{"at": v, "x": x(v), "y": FRAME.y(v)} for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    return {"dots": dots, "ticks": ticks, "frame": FRAME}


SHOWN = {"accuracy", "accuracy_on", "longer_wins", "shorter_wins", "calibration_slope", "ece", "log_loss", "n"}


@engineers
@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Two policies beside each other: what differs, and their answers to the same prompts."""
    slugs = request.GET.getlist("policy")[:2]
    found = {policy.slug: policy for policy in Policy.objects.filter(slug__in=slugs)}
    pair = [found[slug] for slug in slugs if slug in found]
    context: dict[str, Any] = {
        "choice": Policy.objects.filter(archived_at=None).order_by("-pk")[:100],
        "slugs": [*slugs, "", ""][:2],
    }
    if len(pair) == 2:
        context |= {"pair": pair, "differences": registry.differences(*pair), "answers": _both(*pair)}
    return render(request, "rlhf/policies_compare.html", context)


def _both(one: Policy, other: Policy) -> list[tuple[Response, Response]]:
    """Answers to the same dev prompts, the first draw of each. Gate prompts are read by decisions only."""
    answered = Response.objects.filter(policy=other, prompt__split="dev").values("prompt")
    first = Response.objects.filter(policy=one, prompt__in=answered, prompt__split="dev").select_related("prompt")
    rows: dict[int, Response] = {}
    for response in first.order_by("prompt__key", "draw")[:40]:
        rows.setdefault(response.prompt_id, response)
    seconds: dict[int, Response] = {}
    for response in Response.objects.filter(policy=other, prompt__in=list(rows)[:8]).order_by("draw"):
        seconds.setdefault(response.prompt_id, response)
    return [(rows[key], seconds[key]) for key in list(rows)[:8] if key in seconds]


def _thing(kind: str, slug: str) -> Policy | RewardModel:
    if kind == "policies":
        return get_object_or_404(Policy, slug=slug)
    if kind == "reward-models":
        return get_object_or_404(RewardModel, slug=slug)
    raise Http404


def _page_of(thing: Policy | RewardModel) -> HttpResponse:
    return redirect("rlhf:policy" if isinstance(thing, Policy) else "rlhf:reward-model", thing.slug)


@engineers
@require_POST
def archive(request: HttpRequest, kind: str, slug: str) -> HttpResponse:
    """Out of the lists, or back into them with restore=1."""
    thing = _thing(kind, slug)
    verb = registry.restore if request.POST.get("restore") == "1" else registry.archive
    try:
        verb(thing=thing, actor=request.user)  # type: ignore[arg-type]
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return _page_of(thing)


@engineers
@require_GET
def card(request: HttpRequest, kind: str, slug: str) -> HttpResponse:
    return HttpResponse(registry.card(_thing(kind, slug)), content_type="text/markdown; charset=utf-8")


@engineers
@require_GET
def download(request: HttpRequest, kind: str, slug: str) -> HttpResponseBase:
    """The adapter chain of a policy, or a reward model's files, as a tar file with the card."""
    thing = _thing(kind, slug)
    digest = thing.adapter if isinstance(thing, Policy) else thing.artifact
    try:
        content = registry.packed(digest=digest, name=thing.slug, card=registry.card(thing))
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
        return _page_of(thing)
    answer = StreamingHttpResponse(content, content_type="application/x-tar")
    answer["Content-Disposition"] = f'attachment; filename="{thing.slug}.tar"'
    return answer


@engineers
@require_POST
def promote(request: HttpRequest, alias: str) -> HttpResponse:
    """Point the alias at the policy named in the form; with a reason where no decision speaks for it."""
    chosen = get_object_or_404(Policy, slug=request.POST.get("policy", ""))
    reason = request.POST.get("reason", "")
    try:
        deployments.promote(
            policy=chosen,
            alias=alias,
            actor=request.user,  # type: ignore[arg-type]
            force=request.POST.get("force") == "1",
            reason=reason,
        )
        messages.success(request, f"{chosen.slug} is live under {alias} now.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:policy", chosen.slug)


@engineers
@require_POST
def rollback(request: HttpRequest, alias: str) -> HttpResponse:
    get_object_or_404(Deployment, alias=alias)
    try:
        change = deployments.rollback(
            alias=alias,
            actor=request.user,  # type: ignore[arg-type]
            reason=request.POST.get("reason", ""),
        )
        messages.success(request, f"{alias} is back at {change.policy.slug}.")
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("rlhf:policies")
