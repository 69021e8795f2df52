"""Who may open what, decided in the view: engineers and admins; a stranger is sent to the sign-in page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

View = Callable[..., HttpResponseBase]


def engineers(view: View) -> View:
    """Engineers and admins only; others get 403."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(request.user, "is_engineer", False):
            raise PermissionDenied("Only engineers and admins may open this page.")
        return view(request, *args, **kwargs)

    return login_required(guarded)
