"""One error shape for the whole API: {"error": {"code", "message", "details"}}."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from feedback.errors import BadInput, Conflict, NotAllowed, NotFound, PlumblineError, TooLarge, Unavailable

log = logging.getLogger(__name__)

CODES = {
    400: "bad_input", 401: "not_signed_in", 403: "not_allowed", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 413: "too_large", 415: "unsupported_media_type", 429: "throttled",
}  # fmt: skip


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Any exception of a view as an answer. What we did not foresee is logged whole and told as a plain 500."""
    set_rollback()
    if isinstance(error, exceptions.APIException):
        return _from_framework(error)
    ours = error if isinstance(error, PlumblineError) else _known(error)
    if ours is None:
        log.error("unexpected error in %s", context.get("view").__class__.__name__, exc_info=error)
        return answer(500, "internal", "Something went wrong here; it has been logged. It is not your doing.", {})
    details = {**ours.details, **({"retry": True} if ours.retry else {})}
    response = answer(ours.status, ours.code, ours.message, details)
    if ours.status == 503:
        response["Retry-After"] = str(ours.details.get("retry_after", 5))
    return response


def answer(status: int, code: str, message: str, details: dict[str, Any]) -> Response:
    return Response({"error": {"code": code, "message": message, "details": details}}, status=status)


def _known(error: Exception) -> PlumblineError | None:
    """What exceptions of Django and Python mean to a caller; None for those that are our own mistake."""
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address.")
    if isinstance(error, PermissionDenied):
        return NotAllowed("Your role may not do this.")
    if isinstance(error, RequestDataTooBig):
        return TooLarge("The body is larger than this server takes.")
    if isinstance(error, DataError | OverflowError):
        return BadInput("A value is out of the range that can be stored.")
    if isinstance(error, OperationalError):
        log.error("the database did not answer: %s", error)
        return Unavailable("The database is too busy just now; send the same again in a moment.")
    if isinstance(error, IntegrityError):
        log.warning("a constraint refused a request: %s", error)
        return Conflict("This clashes with what is stored; somebody else may have been faster.", retry=True)
    return None


def _from_framework(error: exceptions.APIException) -> Response:
    detail: Any = error.detail
    if isinstance(error, exceptions.ValidationError):
        where, message = first_complaint(detail)
        response = answer(400, "bad_input", f"{where}: {message}" if where else message, {"where": where})
    else:
        code = CODES.get(error.status_code, str(getattr(error, "default_code", "error")))
        response = answer(error.status_code, code, str(detail), {})
    for name, header in (("auth_header", "WWW-Authenticate"), ("wait", "Retry-After")):
        if value := getattr(error, name, None):
            response[header] = str(int(value)) if name == "wait" else value
    return response


def first_complaint(detail: Any, where: str = "") -> tuple[str, str]:
    """The first complaint of a serializer, with the path to its field: recipe.min_votes, [3].prompt."""
    if isinstance(detail, dict) and detail:
        name, inner = next(iter(detail.items()))
        here = where if name == "non_field_errors" else f"{where}.{name}" if where else str(name)
        return first_complaint(inner, here)
    if isinstance(detail, list) and detail:
        at = next((i for i, part in enumerate(detail) if part), 0)
        nested = isinstance(detail[at], dict | list)
        return first_complaint(detail[at], f"{where}[{at}]" if nested else where)
    return where, str(detail)
