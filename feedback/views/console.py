"""The console of label queues: the list, one queue, making and changing them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .. import money, pace, queues, review
from ..console_forms import QueueForm
from ..errors import NotAllowed, PlumblineError
from ..models import Event, Membership, Queue, User
from .access import person, signed_in

MOVES = {
    "draft": [("open", "Open")],
    "open": [("paused", "Pause"), ("closed", "Close")],
    "paused": [("open", "Open again"), ("closed", "Close")],
    "closed": [("open", "Open again"), ("archived", "Archive")],
    "archived": [("closed", "Take out of the archive")],
}


def looked_after(user: User) -> Any:
    """The queues whose console this person may open: admins and engineers all, others where they manage or review."""
    if user.is_engineer:
        return Queue.objects.all()
    return Queue.objects.filter(memberships__user=user, memberships__role__in=("reviewer", "manager"))


def queue_to(what: str, slug: str, user: User) -> Queue:
    """The queue, for somebody who may `manage`, `review` or `read` it. NotFound, or NotAllowed."""
    queue = queues.find(slug=slug, user=user, manage=what == "manage")
    if what == "review" and not review.may_review(queue, user):
        raise NotAllowed("This needs a reviewer of the queue.")
    if what == "read" and not looked_after(user).filter(pk=queue.pk).exists():
        raise NotAllowed("This is for those who look after the queue.")
    return queue


def manages(queue: Queue, user: User) -> bool:
    return user.is_admin or Membership.objects.filter(queue=queue, user=user, role="manager").exists()


def frame(queue: Queue, user: User, here: str) -> dict[str, Any]:
    """What every page of one queue shows around its own content."""
    return {
        "queue": queue,
        "here": here,
        "manages": manages(queue, user),
        "reviews": review.may_review(queue, user),
        "moves": MOVES[queue.status],
    }


@require_GET
@signed_in
def index(request: HttpRequest) -> HttpResponse:
    user = person(request)
    rows = looked_after(user).distinct().order_by("purpose", "title")
    if not rows and not user.is_engineer:
        raise PermissionDenied("The console is for those who look after a queue.")
    archived = request.GET.get("archived") == "1"
    shown = rows.filter(status="archived") if archived else rows.exclude(status="archived")
    found = [{**pace.overview(q), "cost": money.bill(queues=[q]).cost if manages(q, user) else None} for q in shown]
    return render(request, "feedback/console/index.html", {"rows": found, "archived": archived})


@require_GET
@signed_in
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("read", slug, user)
    found = pace.overview(queue)
    left = pace.burn_down(queue)
    top = max([n for _, n in left] or [0])
    bars = [{"day": day, "n": n, "height": round(100 * n / top) if top else 0, "x": 10 * i, "y": 100 - round(
        100 * n / top) if top else 100} for i, (day, n) in enumerate(left)]  # fmt: skip
    context = {
        **frame(queue, user, "overview"),
        **found,
        "bars": bars,
        "top": top,
        "waiting": review.counts(queue=queue, reviewer=user) if review.may_review(queue, user) else None,
        "events": Event.objects.filter(object_type="queue", object_id=slug).select_related("actor").order_by("-pk")[:8],
    }
    template = "feedback/console/_figures.html" if getattr(request, "htmx", False) else "feedback/console/queue.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    user = person(request)
    if not user.is_admin:
        raise NotAllowed("Queues are made by admins.")
    form = QueueForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            queue, _ = queues.create(**form.cleaned_data, actor=user)
        except PlumblineError as wrong:
            form.add_error(*_where(form, wrong))
        else:
            messages.success(request, f"{queue.title} is there, as a draft. Give it items and people, then open it.")
            return redirect("feedback:console-queue", queue.slug)
    return render(request, "feedback/console/edit.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@signed_in
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    form = QueueForm(request.POST or None, queue=queue)
    if request.method == "POST" and form.is_valid():
        try:
            queues.change(queue=queue, actor=user, **form.cleaned_data)
        except PlumblineError as wrong:
            queue.refresh_from_db()
            form.add_error(*_where(form, wrong))
        else:
            messages.success(request, "Changed.")
            return redirect("feedback:console-queue", slug)
    context = {**frame(queue, user, "edit"), "form": form}
    return render(request, "feedback/console/edit.html", context, status=400 if form.errors else 200)


def _where(form: QueueForm, wrong: PlumblineError) -> tuple[str | None, str]:
    """The field that an error is about, and its words."""
    name = str(wrong.details.get("where", "")).partition(".")[0]
    return (name if name in form.fields else None), wrong.message


@require_POST
@signed_in
def move(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    queues.change(queue=queue, actor=user, status=request.POST.get("status", ""))
    messages.info(request, f"{queue.title} is {queue.status}.")
    return redirect("feedback:console-queue", slug)


@require_POST
@signed_in
def clone(request: HttpRequest, slug: str) -> HttpResponse:
    """A draft with the same settings and people, without items."""
    user = person(request)
    if not user.is_admin:
        raise NotAllowed("Queues are made by admins.")
    copy = queues.clone(queue=queue_to("manage", slug, user), actor=user)
    messages.success(request, f"A copy of {slug}: a draft with the same settings and people.")
    return redirect("feedback:console-edit", copy.slug)


@require_GET
@signed_in
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """The first open item as an annotator would see it. Nothing is leased, nothing can be sent."""
    user = person(request)
    queue = queue_to("read", slug, user)
    item = queue.items.filter(status="open", gold__isnull=True).select_related("prompt").order_by("position").first()
    responses = item.ordered_responses() if item else []
    return render(request, "feedback/console/preview.html", {**frame(queue, user, "preview"), "item": item,
                  "responses": list(zip("ABCDEFGHI", responses, strict=False))})  # fmt: skip


@require_GET
@signed_in
def guidelines(request: HttpRequest, slug: str) -> HttpResponse:
    """Every version of the guidelines, newest first."""
    user = person(request)
    queue = queue_to("read", slug, user)
    versions = queue.guidelines_versions.select_related("author").order_by("-number")
    context = {**frame(queue, user, "guidelines"), "versions": versions}
    return render(request, "feedback/console/guidelines.html", context)


@require_GET
@signed_in
def audit(request: HttpRequest) -> HttpResponse:
    """Who changed what, before and after, newest first; admins alone."""
    if not person(request).is_admin:
        raise NotAllowed("The audit trail is for admins.")
    asked = {name: request.GET.get(name, "").strip() for name in ("type", "id", "verb", "actor")}
    rows = Event.objects.select_related("actor").order_by("-pk")
    columns = {"type": "object_type", "id": "object_id", "verb": "verb", "actor": "actor__username"}
    for name, value in asked.items():
        if value:
            rows = rows.filter(**{columns[name]: value})
    before = request.GET.get("before", "")
    if before.isdecimal():
        rows = rows.filter(pk__lt=int(before))
    page = list(rows[:51])
    more = page[49].pk if len(page) > 50 else None
    return render(request, "feedback/console/audit.html", {"events": page[:50], "asked": asked, "more": more})
