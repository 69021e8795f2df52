"""Teach it yourself: the page of a lesson, and its votes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import StaleTransition

from .. import taste, teach
from ..models import Loop
from . import drawing

SHOWN = 8  # features in the bars: the ones that moved most
FORESIGHT = drawing.Frame(34, 10, 394, 120, 0.0, 1.0)


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    pool = teach.pool()
    return _answer(request, pool, _course(request, pool), "rlhf/teach.html")


@login_required
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    if teach.pool() is not None:
        teach.start(user=request.user)  # type: ignore[arg-type]
    return redirect("rlhf:teach")


@login_required
@require_POST
def vote(request: HttpRequest) -> HttpResponse:
    said = request.POST
    position = said.get("position", "")

    def cast(course: teach.Course) -> None:
        teach.vote(
            course=course,
            position=int(position) if position.isdecimal() else -1,
            left=said.get("left", ""),
            right=said.get("right", ""),
            picked=said.get("picked", ""),
        )

    return _do(request, cast)


@login_required
@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    return _do(request, lambda course: teach.undo(course=course))


def _do(request: HttpRequest, verb: Callable[[teach.Course], None]) -> HttpResponse:
    """Carry out, then the next pair: a fragment for htmx, a fresh page for a browser without scripts."""
    pool = teach.pool()
    course = _course(request, pool)
    if course is None:
        return redirect("rlhf:teach")
    try:
        verb(course)
    except StaleTransition as late:
        messages.info(request, late.message)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("rlhf:teach")
    return _answer(request, pool, _course(request, pool), "rlhf/_lesson.html")


def _course(request: HttpRequest, pool: teach.Pool | None) -> teach.Course | None:
    """The person's latest lesson; none before the first, nor without questions."""
    lesson = teach.current(request.user) if pool else None  # type: ignore[arg-type]
    return teach.Course(lesson, pool) if lesson and pool else None


def _answer(request: HttpRequest, pool: teach.Pool | None, course: teach.Course | None, template: str) -> HttpResponse:
    context: dict[str, Any] = {"taught": teach.TAUGHT, "blind": teach.BLIND, "ready": pool is not None}
    if course is not None:
        context |= lesson_context(course)
    return render(request, template, context)


def lesson_context(course: teach.Course) -> dict[str, Any]:
    """What the lesson's fragment shows; the head's leanings stay hidden while one judges blind."""
    context: dict[str, Any] = {
        "course": course,
        "pair": course.next_pair,
        "given": len(course.votes),
        "number": len(course.votes) + 1 - (teach.TAUGHT if len(course.votes) >= teach.TAUGHT else 0),
    }
    if course.finished:
        loop = Loop.objects.filter(demo=True).order_by("pk").last()
        context |= {"verdict": course.verdict, "ballots": ballots(course), "loop": loop}
    if len(course.votes) < teach.TAUGHT or course.finished:
        context |= learnt(course)
    return context


def learnt(course: teach.Course) -> dict[str, Any]:
    """The bars of the head and the curve of how well it foresaw each vote."""
    rows = taste.leanings(course.head)[:SHOWN]
    scale = max([0.2, *(2 * abs(row.weight) for row in rows)])  # whiskers beyond it are cut at the edge
    shares = taste.running_share(course.expected, course.targets)
    return {
        "leanings": [(row, drawing.bar(row.weight, row.low, row.high, scale)) for row in rows] if course.votes else [],
        "curve": drawing.line(FORESIGHT, shares, teach.TAUGHT),
        "half": FORESIGHT.y(0.5),
        "foreseen": next((s for s in reversed(shares) if s is not None), None),
        "last": foresight(course),
    }


def foresight(course: teach.Course) -> dict[str, Any] | None:
    """What the head had expected of the vote just cast."""
    if not course.taught or course.finished:
        return None
    expected, said = float(course.expected[-1]), float(course.targets[-1])
    if len(course.taught) == 1:
        return {"first": True}
    return {
        "sure": max(expected, 1 - expected),
        "tie": said == 0.5,
        "right": (expected > 0.5) == (said > 0.5),
    }


def ballots(course: teach.Course) -> list[dict[str, Any]]:
    """The blind pairs with what was hidden: which answer was the head's."""
    rows = []
    for vote, win in zip(course.votes[teach.TAUGHT :], course.head_wins(), strict=True):
        own = course.favourite([vote.left, vote.right])
        other = vote.right if own.pk == vote.left_id else vote.left
        rows.append({"prompt": own.prompt, "own": own, "other": other, "win": win})
    return rows
