"""The annotating page and what its buttons do. With scripts: JSON and fragments; without: redirects."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from .. import assigning, forms, judging, keys, rubrics
from ..errors import AlreadyJudged, Conflict, LeaseLost, NotFound
from ..kinds import kind_of
from ..middleware import told, wants_json
from ..models import Assignment, Queue, User
from . import progress
from .access import person, queue_of, signed_in
from .asking import shown


@require_GET
@never_cache
@signed_in
def work(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_of(slug, user)
    if wants_json(request):
        return _staged(request, queue, user)
    current, ahead = _leases(queue, user)
    context = {
        "queue": queue,
        "current": shown(current) if current else None,
        "ahead": shown(ahead) if ahead else None,
        "line": progress.line(user, queue),
        "keys": keys.help_rows(queue.kind),
        "rubric": rubrics.parse(queue.rubric),
        "can_undo": _last(queue, user) is not None,
        "after": progress.own_queues(user) if current is None else [],
    }
    return render(request, "feedback/work.html", context)


def _leases(queue: Queue, user: User) -> tuple[Assignment | None, Assignment | None]:
    """What is on the screen and what comes after it."""
    if queue.status != "open":
        return None, None
    current = assigning.claim(queue=queue, annotator=user)
    return current, assigning.claim(queue=queue, annotator=user, ahead=True) if current else None


@require_POST
@signed_in
def judge(request: HttpRequest, slug: str, pk: uuid.UUID) -> HttpResponse:
    user = person(request)
    queue = _queue_of_lease(slug, user, pk)
    said = forms.said(request.POST, kind_of(queue.kind))
    try:
        judging.judge(
            assignment_id=pk, annotator=user, body=said.body, idempotency_key=said.key, evidence=said.evidence
        )
    except (LeaseLost, AlreadyJudged) as lost:
        return told(request, lost, kept=said.body.get("rationale", ""), queue=queue)
    return _onward(request, queue, user)


def _queue_of_lease(slug: str, user: User, pk: uuid.UUID) -> Queue:
    queue = queue_of(slug, user)
    if assigning.mine(assignment_id=pk, annotator=user).queue_id != queue.pk:
        raise NotFound("There is no such assignment of yours.")
    return queue


@require_POST
@signed_in
def skip(request: HttpRequest, slug: str) -> HttpResponse:
    user, pk = person(request), forms.assignment_id(request.POST)
    queue = _queue_of_lease(slug, user, pk)
    with suppress(LeaseLost):  # then it is off the screen, which is all that was asked
        assigning.skip(assignment_id=pk, annotator=user, reason=request.POST.get("reason", ""))
    return _onward(request, queue, user)


@require_POST
@signed_in
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """Take back one of the last judgments: the one named, or the last in this queue."""
    user = person(request)
    queue = queue_of(slug, user)
    last = request.POST.get("judgment") or _last(queue, user)
    if last is None:
        raise Conflict("There is nothing to undo in this queue.")
    judging.undo(judgment_id=_uuid(last), annotator=user)
    if not wants_json(request):
        messages.info(request, "Taken back. Here it is again.")
    return _onward(request, queue, user)


def _uuid(text: uuid.UUID | str) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError:
        raise NotFound("There is no such judgment of yours.")


def _last(queue: Queue, user: User) -> uuid.UUID | None:
    return next((j.pk for j in judging.recent(annotator=user) if j.queue_id == queue.pk), None)


@require_POST
@signed_in
def heartbeat(request: HttpRequest, slug: str) -> HttpResponse:
    user, pk = person(request), forms.assignment_id(request.POST)
    _queue_of_lease(slug, user, pk)
    lease = assigning.heartbeat(assignment_id=pk, annotator=user)
    return JsonResponse({"expires_at": lease.expires_at.isoformat()})


def _onward(request: HttpRequest, queue: Queue, user: User) -> HttpResponse:
    return _staged(request, queue, user) if wants_json(request) else redirect("feedback:work", queue.slug)


def _staged(request: HttpRequest, queue: Queue, user: User) -> JsonResponse:
    """What the page should hold now. The item that it says it shows already is not drawn again."""
    current, ahead = _leases(queue, user)
    answer: dict[str, Any] = {
        "current": _piece(request, current),
        "ahead": _piece(request, ahead),
        "line": progress.line(user, queue),
        "can_undo": _last(queue, user) is not None,
    }
    if current is None:
        context = {"queue": queue, "after": progress.own_queues(user)}
        answer["empty"] = render_to_string("feedback/_nothing_left.html", context, request)
    return JsonResponse(answer)


def _piece(request: HttpRequest, lease: Assignment | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    known = str(lease.pk) in request.POST.getlist("shown")
    html = None if known else render_to_string("feedback/_item.html", {"item": shown(lease)}, request)
    return {"id": str(lease.pk), "html": html}
