"""Home, queues, one's own history, and the page that shows every component."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_GET

from .. import judging, quality
from ..models import Event, Judgment, Queue, User
from . import progress
from .access import person, signed_in

HISTORY = 50


@require_GET
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    user = person(request)
    if settings.PLUMBLINE_DEMO and (lesson := _lesson_to_take(user)):
        return redirect(lesson)
    rows = progress.own_queues(user)
    context = {"rows": rows, "today": progress.today(user), "next": _next_queue(user, rows)}
    return render(request, "feedback/home.html", context)


def _lesson_to_take(user: User) -> str | None:
    """The lesson's address for somebody who has neither finished it nor judged anything yet."""
    if Event.objects.filter(actor=user, verb="lesson.finished").exists():
        return None
    if Judgment.objects.filter(author=user).exists():
        return None
    try:
        return reverse("rlhf:teach")
    except NoReverseMatch:
        return None


def _next_queue(user: User, rows: list[dict[str, Any]]) -> Queue | None:
    """Where to go on: the queue of the last judgment while something is left there, else the first with work."""
    waiting = [row["queue"] for row in rows if row["left"]]
    last = progress.last_queue(user)
    return last if last in waiting else (waiting[0] if waiting else None)


@require_GET
@signed_in
def queues(request: HttpRequest) -> HttpResponse:
    user = person(request)
    rows = progress.own_queues(user)
    context: dict[str, Any] = {"rows": rows}
    if user.is_engineer:
        mine = {row["queue"].pk for row in rows}
        everything = Queue.objects.order_by("purpose", "title")
        context["every"] = [(queue, quality.queue_stats(queue), queue.pk in mine) for queue in everything]
    return render(request, "feedback/queues.html", context)


@require_GET
@signed_in
def history(request: HttpRequest) -> HttpResponse:
    user = person(request)
    judgments = judging.recent(annotator=user, limit=HISTORY)
    rows = [_told(judgment, n < judging.UNDO_LAST) for n, judgment in enumerate(judgments)]
    context = {"rows": rows, "undo_last": judging.UNDO_LAST, "today": progress.today(user)}
    return render(request, "feedback/history.html", context)


def _told(judgment: Judgment, late_enough: bool) -> dict[str, Any]:
    choice = judgment.answer.get("choice")
    written = judgment.wrote.content if judgment.wrote else ""
    picked = judgment.item.ordered_responses()[choice].content if isinstance(choice, int) else written
    return {
        "judgment": judgment,
        "picked": picked,
        "undoable": late_enough and judgment.queue.status == "open",
    }


@require_GET
@signed_in
def design(request: HttpRequest) -> HttpResponse:
    if not settings.DEBUG:
        raise Http404
    return render(request, "feedback/design.html", {"sample": SAMPLE, "names": COLOURS, "states": STATES})


COLOURS = [
    *("paper", "surface", "sunken", "line", "line-strong", "ink", "ink-soft"),
    *("accent", "accent-strong", "on-accent", "accent-wash", "good", "good-wash", "warn", "warn-wash"),
    *("bad", "bad-wash", "mark"),
]
STATES = ("draft", "running", "queued", "ready", "failed")

SAMPLE = """## A model's text

It may hold **strong** words, `code`, lists:

1. first
2. second

> and quotations.

| a table | of |
|---|---|
| two | columns |

<script>alert("which stays inert")</script>
"""
