"""Coming and going."""

from __future__ import annotations

from django.contrib.auth import logout, views
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from .. import assigning
from .access import person


class SignIn(views.LoginView):
    redirect_authenticated_user = True


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """What the person still holds goes back to the queues, so that nobody waits for it."""
    if request.user.is_authenticated:
        assigning.release_all(annotator=person(request))
        logout(request)
    return redirect("feedback:sign-in")
