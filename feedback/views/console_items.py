"""Items of a queue in the console: finding them, acting on many at once, one of them, and files of them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .. import items, review, uploads
from ..errors import BadInput, PlumblineError
from ..models import ARMS, ImportBatch, Item
from .access import person, signed_in
from .console import frame, queue_to

PAGE = 50


@require_GET
@signed_in
def index(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    asked = items.Asked.of(request.GET)
    page = Paginator(items.find(queue=queue, asked=asked), PAGE).get_page(request.GET.get("page"))
    context = {
        **frame(queue, user, "items"),
        "page": page,
        "asked": asked,
        "arms": ARMS,
        "states": items.STATES,
        "members": queue.memberships.filter(role="annotator").select_related("user").order_by("user__username"),
        "query": asked.query(),
    }
    return render(request, "feedback/console/items.html", context)


@require_POST
@signed_in
def act(request: HttpRequest, slug: str) -> HttpResponse:
    """Do one thing to the items ticked, or to all that were found."""
    user = person(request)
    queue = queue_to("manage", slug, user)
    asked = items.Asked.of(request.POST)
    rows = items.find(queue=queue, asked=asked)
    if request.POST.get("all") != "1":
        rows = rows.filter(pk__in=[int(pk) for pk in request.POST.getlist("item") if pk.isdecimal()])
    try:
        done = items.act(
            queue=queue, rows=rows, action=request.POST.get("action", ""), value=request.POST.get("value", ""),
            people=request.POST.getlist("person"), actor=user,
        )  # fmt: skip
        messages.success(request, done)
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect(f"{reverse('feedback:console-items', args=[slug])}?{asked.query()}")


@require_http_methods(["GET", "POST"])
@signed_in
def one(request: HttpRequest, slug: str, key: Any) -> HttpResponse:
    """An item with its answers, comments and history; a reviewer may comment, a manager make it gold."""
    user = person(request)
    queue = queue_to("review", slug, user)
    item = get_object_or_404(Item.objects.select_related("prompt"), queue=queue, key=key)
    if request.method == "POST":
        try:
            review.comment(item=item, author=user, text=request.POST.get("text", ""))
        except BadInput as wrong:
            messages.error(request, wrong.message)
        return redirect("feedback:console-item", slug, key)
    context = {**frame(queue, user, "items"), **items.told(item)}
    return render(request, "feedback/console/item.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def files(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            if file is None or file.file is None:
                raise BadInput("file: choose a file of JSON lines or CSV.", where="file")
            batch = uploads.receive(queue=queue, file=file.file, name=file.name or "file", actor=user)
        except PlumblineError as wrong:
            messages.error(request, wrong.message)
            return redirect("feedback:console-import", slug)
        return redirect("feedback:console-import-file", slug, batch.pk)
    context = {**frame(queue, user, "import"), "batches": queue.imports.select_related("actor").order_by("-pk")[:20]}
    return render(request, "feedback/console/import.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def one_file(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The file's columns before it is brought in; how far it is afterwards (the moving part for htmx)."""
    user = person(request)
    queue = queue_to("manage", slug, user)
    batch = get_object_or_404(ImportBatch, queue=queue, pk=pk)
    if request.method == "POST":
        mapping = {field: request.POST.get(field, "") for field in uploads.FIELDS}
        try:
            uploads.order(batch=batch, mapping=mapping, actor=user)
        except PlumblineError as wrong:
            messages.error(request, wrong.message)
        return redirect("feedback:console-import-file", slug, pk)
    context = {**frame(queue, user, "import"), "batch": batch, **_preview(batch)}
    template = "feedback/console/_import.html" if getattr(request, "htmx", False) else "feedback/console/file.html"
    return render(request, template, context)


def _preview(batch: ImportBatch) -> dict[str, Any]:
    if batch.status not in ("uploaded", "failed") or batch.format != "file":
        return {}
    try:
        columns, rows = uploads.preview(batch)
    except (PlumblineError, OSError):
        return {"gone": True}
    fields = [(name, words, batch.mapping.get(name, "")) for name, words in uploads.FIELDS.items()]
    table = [[str(row.get(column, ""))[:200] for column in columns] for row in rows]
    return {"columns": columns, "rows": table, "fields": fields}
