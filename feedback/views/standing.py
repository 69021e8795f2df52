"""A person's own standing: why they are paused, what reviewers said; and the one-time links that let people in."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from .. import accounts, assigning, pausing, review
from ..console_forms import JoinForm, ResetForm
from ..errors import NotFound, PlumblineError
from .access import person, queue_of, signed_in


@require_http_methods(["GET", "POST"])
@signed_in
def standing(request: HttpRequest, slug: str) -> HttpResponse:
    """How this person stands in a queue; a paused one may appeal here."""
    user = person(request)
    queue = queue_of(slug, user)
    member = assigning.membership(queue, user)
    member.user, member.queue = user, queue
    if request.method == "POST":
        try:
            pausing.appeal(member=member, text=request.POST.get("appeal", ""))
            messages.success(request, "Sent. Whoever manages the queue will read it.")
        except PlumblineError as wrong:
            messages.error(request, wrong.message)
        return redirect("feedback:standing", slug)
    sessions = queue.calibrations.filter(people=user).exclude(status="labelling").order_by("-pk")
    return render(request, "feedback/standing.html", {"queue": queue, "member": member, "sessions": sessions})


@require_GET
@signed_in
def reviewed(request: HttpRequest) -> HttpResponse:
    """What reviewers said about this person's judgments."""
    return render(request, "feedback/reviewed.html", {"rows": review.outcomes(annotator=person(request))})


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@never_cache
def join(request: HttpRequest, word: str) -> HttpResponse:
    """A one-time link: choose a name and a password, or a new password."""
    try:
        invitation = accounts.open_link(word)
    except NotFound as gone:
        return render(request, "error.html", {"error": gone}, status=404)
    shape = JoinForm if invitation.kind == "join" else ResetForm
    form = shape(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = accounts.accept(word=word, **form.cleaned_data)
        except PlumblineError as wrong:
            name = str(wrong.details.get("where", "")) or ("username" if "username" in form.fields else "password")
            form.add_error(name if name in form.fields else None, wrong.message)
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("feedback:home")
    context = {"form": form, "invitation": invitation, "version": settings.PLUMBLINE_CONSENT_VERSION}
    return render(request, "feedback/join.html", context, status=400 if form.errors else 200)
