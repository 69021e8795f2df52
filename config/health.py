"""What an operator's probes ask: is the process up, can it work, and its figures."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from config.celery import app, heartbeat_age

WORKER_SILENCE = 60.0  # seconds without a sweep before the workers count as gone


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database, the broker and a worker answer, else 503; the body says which did not."""
    checks = {"database": _database, "broker": _broker, "worker": _worker}
    answers = {name: _answer(check) for name, check in checks.items()}
    ready = all(answer == "ok" for answer in answers.values())
    return JsonResponse({"ready": ready, "checks": answers}, status=200 if ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus's text format, over all web workers when PROMETHEUS_MULTIPROC_DIR is set."""
    return ExportToDjangoView(request)


def _answer(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # a probe reports whatever is wrong, it never raises
        return str(error) if isinstance(error, Unready) else type(error).__name__
    return "ok"


class Unready(Exception):
    """A check failed in a way that can be told to anyone."""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    if settings.CELERY_BROKER_URL.startswith("memory://"):
        return
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=1)


def _worker() -> None:
    age = heartbeat_age(time.time())
    if age is None:
        raise Unready("no worker seen yet")
    if age > WORKER_SILENCE:
        raise Unready(f"no worker seen for {age:.0f} s")
