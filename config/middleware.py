"""Middleware of the whole site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class LooserPolicyForTools:
    """Gives the prefixes in LOOSER_POLICIES their own CSP directives; a view that set its own keeps it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: Any = self.get_response(request)
        for prefix, directives in settings.LOOSER_POLICIES.items():
            if request.path.startswith(prefix) and not hasattr(response, "_csp_replace"):
                response._csp_replace = directives
        return response
