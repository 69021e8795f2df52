"""Starting a run: filled in already, planned before it starts, refused in words."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from rlhf.models import Run
from tests.factories import make_policy, make_user
from tests.factories_rlhf import make_built_dataset, make_dataset

pytestmark = pytest.mark.django_db
START = "/runs/start/"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("mira", role="engineer"))
    return client


def test_from_a_dataset_to_a_reward_model_in_three_clicks(client: Client) -> None:
    make_policy("base", kind="local", base="tiny")
    dataset = make_built_dataset()
    first = client.get(reverse("rlhf:dataset", args=[dataset.pk])).content.decode()
    address = f"{START}?kind=reward&amp;dataset={dataset.pk}"
    assert address in first
    form = client.get(address.replace("&amp;", "&"))
    assert 'id="run-start"' in form.content.decode() and form.context["choice"].base == "tiny"
    choice = form.context["choice"]
    client.post(START, {"kind": choice.kind, "dataset": choice.dataset, "base": choice.base})
    run = Run.objects.get(kind="reward")
    assert (run.kind, run.dataset, run.base, run.status) == ("reward", dataset, "tiny", "queued")
    assert run.created_by is not None and run.created_by.username == "mira"


def test_the_plan_names_what_is_wrong_and_offers_no_button(client: Client) -> None:
    dataset = make_dataset()
    shown = client.get(START, {"kind": "dpo", "dataset": str(dataset.pk), "base": "nobody"}).content.decode()
    assert "local policy" in shown and 'id="run-start"' not in shown


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"config": "{"}, "not JSON"),
        ({"config": "[]"}, "JSON object"),
        ({"config": '{"speed": 1}'}, "config.speed"),
        ({"seed": "-1"}, "seed"),
        ({"kind": "magic"}, "none of"),
        ({"dataset": "x"}, "dataset"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_words_and_nothing_is_ordered(
    client: Client, form: dict[str, str], words: str
) -> None:
    make_policy("base", kind="local", base="tiny")
    make_built_dataset()
    answer = client.post(START, {"kind": "reward", **form})
    assert answer.status_code == 400 and words in answer.content.decode()
    assert not Run.objects.exists()


def test_a_change_of_the_form_is_answered_with_the_plan_alone(client: Client) -> None:
    make_policy("base", kind="local", base="tiny")
    make_built_dataset()
    part = client.get(START, {"kind": "reward"}, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<section") and "run-start" in part


def test_without_a_dataset_the_page_says_what_comes_first(client: Client) -> None:
    assert "No dataset yet" in client.get(START).content.decode()
