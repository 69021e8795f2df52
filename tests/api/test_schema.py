"""The OpenAPI document describes what there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from api import urls
from tests.api.conftest import Caller


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(Client().get("/api/schema/?format=json").content)


def test_the_document_is_valid_and_complete(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    assert len(document["paths"]) == len(urls.v1)


def test_every_call_documents_how_it_may_fail(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            expected = {"400", "401", "403", "404"} | (set() if method == "get" else {"409", "413"})
            assert expected <= set(operation["responses"]), (path, method)


def test_every_call_needs_signing_in(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"token": []} in operation["security"] and {} not in operation["security"]


@pytest.mark.django_db
def test_the_pages_are_served_from_here(ann: Caller) -> None:
    page = Client().get("/api/docs/")
    assert page.status_code == 200 and b"//cdn" not in page.content


@pytest.mark.django_db
def test_lists_look_as_documented(engineer: Caller, document: dict[str, Any]) -> None:
    schema = document["paths"]["/api/v1/policies/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    shape = document["components"]["schemas"][name] if name else schema
    assert set(shape["properties"]) == {"next", "previous", "results"}
