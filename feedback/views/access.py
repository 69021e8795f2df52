"""Who may open what, decided in the view."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse

from ..errors import NotFound
from ..middleware import wants_json
from ..models import Queue, User

View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """Strangers are sent to the sign-in page; scripts get a 401 that the page can act on."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if wants_json(request):
            error = {"code": "signed_out", "message": "You are signed out.", "details": {}}
            return JsonResponse({"error": error}, status=401)
        return redirect_to_login(request.get_full_path())

    return guarded


def person(request: HttpRequest) -> User:
    return cast(User, request.user)


def queue_of(slug: str, user: User) -> Queue:
    """A queue in which this person works; NotFound otherwise, so that names tell nothing."""
    queue = Queue.objects.filter(slug=slug, memberships__user=user).first()
    if queue is None:
        raise NotFound(f"There is no queue {slug} among yours.")
    return queue
