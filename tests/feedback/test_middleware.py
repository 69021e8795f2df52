from __future__ import annotations

import json

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.test import RequestFactory
from django_htmx.middleware import HtmxDetails

from feedback.errors import LeaseLost, NotFound, PlumblineError, StaleTransition
from feedback.middleware import ErrorPages
from feedback.models import User


def answer(error: Exception, **headers: str) -> HttpResponse | None:
    request = RequestFactory().get("/", headers=headers)
    request.user = User(username="ada", role="engineer")
    request.htmx = HtmxDetails(request)  # type: ignore[attr-defined]
    return ErrorPages(lambda _: HttpResponse()).process_exception(request, error)


def test_a_person_gets_a_page_with_the_message_and_the_way_on() -> None:
    page = answer(NotFound("There is no queue x among yours."))
    assert page is not None and page.status_code == 404
    assert "There is no queue x among yours." in page.content.decode() and "To the queues" in page.content.decode()


def test_a_script_gets_the_one_json_shape() -> None:
    reply = answer(LeaseLost("Gone.", state="expired"), accept="application/json")
    assert reply is not None and reply.status_code == 409
    assert json.loads(reply.content) == {
        "error": {"code": "lease_lost", "message": "Gone.", "details": {"state": "expired"}}
    }


def test_htmx_gets_a_bar_and_not_a_page() -> None:
    bar = answer(StaleTransition("Moved."), **{"HX-Request": "true"})
    assert bar is not None and b"<html" not in bar.content and b"Trying again may help" in bar.content


@pytest.mark.parametrize(("error", "status"), [(Http404(), 404), (PermissionDenied(), 403)])
def test_django_s_own_refusals_take_the_same_shape_for_scripts_alone(error: Exception, status: int) -> None:
    reply = answer(error, accept="application/json")
    assert reply is not None and reply.status_code == status
    assert answer(error) is None


def test_a_message_is_escaped() -> None:
    page = answer(PlumblineError("<b>x</b>"))
    assert page is not None and b"&lt;b&gt;x" in page.content


def test_other_exceptions_are_left_to_django() -> None:
    assert answer(ValueError("ours")) is None
