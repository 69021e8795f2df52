"""The page behind a feedback link: an end user, not signed in, says what they made of one answer."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from .. import interactions
from ..errors import BadInput


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def reaction(request: HttpRequest, token: str) -> HttpResponse:
    """GET only shows (mail readers open links by themselves); POST records."""
    found = interactions.open_link(token)
    context = {"interaction": found, "question": found.messages[-1]["content"] if found.messages else ""}
    if request.method != "POST":
        return render(request, "feedback/reaction.html", context)
    said = {name: request.POST.get(name, "").replace("\x00", "") for name in ("thumb", "correction", "comment")}
    try:
        interactions.react(interaction_id=found.pk, **said)
    except BadInput as wrong:
        return render(request, "feedback/reaction.html", {**context, "said": said, "wrong": wrong}, status=400)
    return render(request, "feedback/reaction.html", {**context, "thanks": True})
