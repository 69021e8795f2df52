"""The running API against its own OpenAPI document: every call with bodies that fit it, and with bodies that do not.

Bodies are drawn at random, and a few minutes go into it: run by hand, with PLUMBLINE_ENDURANCE=1, not on every change.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api import tokens
from tests.factories import make_user

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.environ.get("PLUMBLINE_ENDURANCE") != "1", reason="PLUMBLINE_ENDURANCE=1 runs it"),
]

document = json.loads(OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True)))
api = schemathesis.openapi.from_dict(document)
api.config.generation.update(allow_x00=False)  # refused by name everywhere; a shape cannot say it

# A body may fit its shape and still not make sense; a shape cannot say so. What the shape lacks, by call:
SENSE = {
    "POST /prompts/": "a conversation ends with a user's turn; a group keeps its split",
    "POST /responses/": "a response has words in it",
    "POST /interactions/": "a conversation ends with a user's turn",
    "POST /interactions/{id}/feedback/": "a reaction says at least one thing",
    "POST /webhooks/": "the address is a public one, the events are ours",
    "POST /policies/": "keys of `decoding` are ours; an adapter is an artifact that is here",
    "POST /datasets/": "keys of `recipe` are ours",
    "POST /loops/": "keys of `config` are ours",
    "POST /runs/": "what a run needs depends on its kind",
    "POST /runs/plan/": "what a run needs depends on its kind",
    "POST /runs/pull/": "a puller names what it knows, and nothing else",
    "POST /decisions/": "candidate and rule are ours; fields that we do not know are refused",
    "POST /evaluations/": "a figure has value, se and n",
    "POST /queues/": "a rubric has a form of its own",
    "PATCH /queues/{slug}/": "a rubric has a form of its own",
    "POST /runs/{id}/report/": "a puller says which attempt it is",
    "POST /runs/{id}/conclude/": "a puller says which attempt it is, and names its files",
    "GET /runs/{id}/inputs/{name}": "a puller says which attempt it is",
    "PUT /runs/{id}/output/{name}": "a puller says which attempt it is",
    "GET /lineage/{type}/{id}/": "the types are ours",
}


@api.parametrize()
@settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
def test_every_answer_is_one_that_the_document_announces(case: Any, live_server: Any, signed_in: Any) -> None:
    call = f"{case.operation.method.upper()} {case.operation.path.removeprefix('/api/v1')}"
    left_out = [positive_data_acceptance] if call in SENSE else []
    case.call_and_validate(base_url=live_server.url, headers=signed_in, excluded_checks=left_out)


@pytest.fixture
def signed_in() -> dict[str, str]:
    """An admin may call everything."""
    return {"Authorization": f"Bearer {tokens.create(user=make_user(role='admin'))[1]}"}
