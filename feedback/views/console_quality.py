"""Whether a queue's labels can be trusted: agreement broken down, review, flags, calibration."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from .. import calibrating, flagging, judging, quality, review
from ..errors import Conflict, NotAllowed, NotFound, PlumblineError
from ..models import Calibration, FlagCase, Judgment, Queue, User
from .access import person, queue_of, signed_in
from .console import frame, manages, queue_to

BY_WORDS = {
    "version": "Guidelines version", "week": "Week", "person": "Person against everybody else",
    "language": "Language", "strength": "Strength",
}  # fmt: skip


@require_GET
@signed_in
def index(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("read", slug, user)
    figures = quality.queue_stats(queue)
    kind = figures["about"]
    by = [name for name in quality.BREAKDOWNS if name != "person" or manages(queue, user)]
    tables = [(BY_WORDS[name], quality.breakdown(queue=queue, by=name, kind=kind)) for name in by]
    context = {**frame(queue, user, "quality"), "figures": figures, "tables": tables}
    return render(request, "feedback/console/quality.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@signed_in
def desk(request: HttpRequest, slug: str) -> HttpResponse:
    """One judgment to look at, blind; after the decision, whose it was."""
    user = person(request)
    queue = queue_to("review", slug, user)
    if request.method == "POST":
        try:
            _decide(request, queue, user)
        except PlumblineError as wrong:
            messages.error(request, wrong.message)
        return redirect("feedback:console-review", slug)
    found = review.next_one(queue=queue, reviewer=user)
    context = {
        **frame(queue, user, "review"),
        "counts": review.counts(queue=queue, reviewer=user),
        **(_shown(*found) if found else {}),
    }
    return render(request, "feedback/console/review.html", context)


def _shown(judgment: Judgment, why: str) -> dict[str, Any]:
    """The judgment as its author saw the item: slots in their order, no name anywhere."""
    responses = judgment.item.ordered_responses()
    order = judgment.evidence.get("order") or list(range(len(responses)))
    others = Judgment.objects.filter(item=judgment.item, withdrawn_at__isnull=True, purpose="label")
    return {
        "judgment": judgment,
        "why": why,
        "shown": [("ABCDEFGHI"[n], responses[position]) for n, position in enumerate(order)],
        "others": [_in_slots(o, order) for o in others.exclude(pk=judgment.pk).exclude(superseded_by=judgment)],
        "comments": judgment.item.comments.select_related("author").order_by("pk"),
    }


def _in_slots(judgment: Judgment, order: list[int]) -> str:
    """Another's answer in the words of this page's slots."""
    choice = judgment.answer.get("choice")
    if isinstance(choice, int) and choice in order:
        return f"{'ABCDEFGHI'[order.index(choice)]} better"
    return {"tie": "Tie", "both_bad": "Both bad"}.get(str(choice), quality.answer_words(judgment.answer))


def _decide(request: HttpRequest, queue: Queue, user: User) -> None:
    post = request.POST
    try:
        pk = uuid.UUID(post.get("judgment", ""))
    except ValueError:
        raise NotFound("There is no such judgment.")
    judgment = review.find(judgment_id=pk, reviewer=user)
    if judgment.queue_id != queue.pk:
        raise NotFound("There is no such judgment in this queue.")
    spent = post.get("duration_ms", "")
    outcome, body = _outcome(post)
    review.decide(
        judgment=judgment, reviewer=user, outcome=outcome, note=post.get("note", ""), body=body,
        reason=post.get("why", "sample"), duration_ms=min(int(spent), 3_600_000) if spent.isdecimal() else None,
    )  # fmt: skip
    name = judgment.author.username if judgment.author else judgment.annotator
    messages.success(request, f"{outcome.capitalize()}. It was {name}’s.")


def _outcome(post: QueryDict) -> tuple[str, dict[str, Any] | None]:
    outcome, _, choice = post.get("outcome", "").partition(":")
    return outcome, {"choice": choice} if choice else None


@require_http_methods(["GET", "POST"])
@signed_in
def flags(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("review", slug, user)
    if request.method == "POST":
        pk = request.POST.get("case", "")
        case = get_object_or_404(FlagCase.objects.select_related("item__queue"), item__queue=queue,
                                 pk=int(pk) if pk.isdecimal() else 0)  # fmt: skip
        confirm = request.POST.get("decision") == "confirm"
        flagging.decide(case=case, confirm=confirm, actor=user, note=request.POST.get("note", ""))
        messages.success(request, "The item is out of the queue." if confirm else "The item goes on.")
        return redirect("feedback:console-flags", slug)
    cases = [(case, case.item.ordered_responses()) for case in flagging.cases(queue=queue)]
    context = {**frame(queue, user, "flags"), "cases": cases, "decides": flagging.may_decide(queue, user)}
    return render(request, "feedback/console/flags.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def calibration(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    if request.method == "POST":
        try:
            messages.success(request, _calibrate(request, queue, user))
        except PlumblineError as wrong:
            messages.error(request, wrong.message)
        return redirect("feedback:console-calibration", slug)
    sessions = queue.calibrations.order_by("-pk")
    current = sessions.exclude(status="closed").first()
    context = {
        **frame(queue, user, "calibration"),
        "current": current,
        "progress": calibrating.progress(current) if current else [],
        "spread": calibrating.spread(current) if current and current.status == "discussing" else [],
        "sessions": [(s, calibrating.before_and_after(s)) for s in sessions if s.status != "labelling"],
        "members": queue.memberships.filter(kind="human", paused_at__isnull=True).select_related("user"),
    }
    return render(request, "feedback/console/calibration.html", context)


def _calibrate(request: HttpRequest, queue: Queue, user: User) -> str:
    post = request.POST
    if post.get("action") == "start":
        people = list(User.objects.filter(username__in=post.getlist("person"), memberships__queue=queue).distinct())
        count = int(post.get("count", "")) if post.get("count", "").isdecimal() else calibrating.ITEMS
        session = calibrating.start(queue=queue, people=people, count=count, actor=user)
        return f"{session.items.count()} items wait for {len(people)} people."
    current = queue.calibrations.exclude(status="closed").first()
    if current is None:
        raise Conflict("No calibration is under way.")
    if post.get("action") == "reveal":
        calibrating.reveal(session=current, actor=user)
        return "The answers are shown to the group now."
    guidelines = post.get("guidelines", "").replace("\r\n", "\n")
    changed = calibrating.conclude(session=current, guidelines=guidelines, notes=post.get("notes", ""), actor=user)
    return f"Closed. The guidelines are at version {changed.guidelines_version}."


@require_GET
@signed_in
def spread(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What the group said, for those who took part, once it is revealed."""
    user = person(request)
    queue = queue_of(slug, user)
    session = get_object_or_404(Calibration, queue=queue, pk=pk)
    if not session.people.filter(pk=user.pk).exists():
        raise NotAllowed("This is for those who took part.")
    rows = calibrating.spread(session)
    own = {j.item_id: quality.answer_words(j.answer) for j in judging.standing_of(user, session.items.all())}
    context = {"queue": queue, "session": session, "rows": [(row, own.get(row.item.pk)) for row in rows]}
    return render(request, "feedback/console/spread.html", context)
