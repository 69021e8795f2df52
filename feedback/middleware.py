"""One way of telling people what went wrong: a page, a fragment for htmx, or JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from .errors import NotAllowed, NotFound, PlumblineError


class ErrorPages:
    """Turns PlumblineError into an answer; Http404 and PermissionDenied too where no whole page is wanted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, PlumblineError):
            return told(request, exception)
        if wants_json(request) or getattr(request, "htmx", False):
            if isinstance(exception, Http404):
                return told(request, NotFound("There is nothing here."))
            if isinstance(exception, PermissionDenied):
                return told(request, NotAllowed(str(exception) or "Your role does not allow this."))
        return None


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def told(request: HttpRequest, error: PlumblineError, **context: Any) -> HttpResponse:
    """The answer that tells this error: its message, whether a retry helps, and the way on."""
    if wants_json(request):
        body = {"code": error.code, "message": error.message, "details": error.details}
        return JsonResponse({"error": body}, status=error.status)
    template = "_error.html" if getattr(request, "htmx", False) else "error.html"
    return render(request, template, {"error": error, **context}, status=error.status)
