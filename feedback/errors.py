"""Our exceptions.

    PlumblineError            whose fault it is: `status` (HTTP), whether a retry helps: `retry`
    +-- BadInput        400   the caller's words are wrong; `where` names the place
    +-- NotAllowed      403   a role may not do this
    +-- NotFound        404   unknown reference, or not yours
    +-- Conflict        409   the state does not admit it
    |   +-- StaleTransition   somebody else moved the row first
    |   +-- PausedHere        the person is paused in this queue
    |   +-- LeaseLost         the seat went to someone else
    |   +-- AlreadyJudged     judged in another tab
    |   +-- IdempotencyConflict   same key, other body
    +-- TooLarge        413   more than we take in one go
    +-- Unavailable     503   something we need is not there yet; a retry helps
"""

from __future__ import annotations

from typing import Any


class PlumblineError(Exception):
    """The root: `code` for programs, the message for people, `details` for both."""

    code = "error"
    status = 500
    retry = False

    def __init__(self, message: str, *, where: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = {**({"where": where} if where else {}), **details}


class BadInput(PlumblineError):
    code, status = "bad_input", 400


class NotAllowed(PlumblineError):
    code, status = "not_allowed", 403


class NotFound(PlumblineError):
    code, status = "not_found", 404


class Conflict(PlumblineError):
    code, status = "conflict", 409


class StaleTransition(Conflict):
    code, retry = "stale_transition", True


class PausedHere(Conflict):
    code = "paused_here"


class LeaseLost(Conflict):
    code = "lease_lost"


class AlreadyJudged(Conflict):
    code = "already_judged"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"


class TooLarge(PlumblineError):
    code, status = "too_large", 413


class Unavailable(PlumblineError):
    code, status, retry = "unavailable", 503, True
