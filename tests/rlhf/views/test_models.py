"""Policies, reward models, and the aliases turned by hand."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from rlhf import deployments
from rlhf.models import DeploymentChange
from tests.factories import make_policy, make_prompt, make_response, make_user
from tests.factories_rlhf import FIGURES, make_deployment, make_reward_model

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("mira", role="engineer"))
    return client


def promote(client: Client, policy: str, **form: str) -> str:
    address = reverse("rlhf:promote", args=["production"])
    return client.post(address, {"policy": policy, **form}, follow=True).content.decode()


def test_promotion_without_a_decision_is_refused_in_words(client: Client) -> None:
    make_deployment(make_policy("old"))
    new = make_policy("new")
    assert "No decision has promoted new" in promote(client, new.slug)
    live = deployments.live("production")
    assert live is not None and live.slug == "old"


def test_a_forced_promotion_stores_its_reason_and_who_gave_it(client: Client) -> None:
    make_deployment(make_policy("old"))
    make_policy("new")
    promote(client, "new", force="1", reason="The old one answers in verse.")
    change = DeploymentChange.objects.get(kind="forced")
    assert change.actor is not None
    assert (change.policy.slug, change.reason, change.actor.username) == (
        "new",
        "The old one answers in verse.",
        "mira",
    )


def test_rolling_back_brings_the_former_policy_back(client: Client) -> None:
    make_deployment(make_policy("old"))
    make_policy("new")
    promote(client, "new", force="1", reason="A try.")
    client.post(reverse("rlhf:rollback", args=["production"]))
    live = deployments.live("production")
    assert live is not None and live.slug == "old"


def test_a_rollback_with_nothing_before_says_so(client: Client) -> None:
    make_deployment(make_policy("old"))
    answer = client.post(reverse("rlhf:rollback", args=["production"]), follow=True).content.decode()
    assert "Nothing was live under production before old" in answer


def test_a_policys_page_never_shows_answers_to_gate_prompts(client: Client) -> None:
    policy = make_policy("new")
    make_response(make_prompt(split="gate"), "the secret answer", policy=policy)
    make_response(make_prompt(split="dev"), "the open answer", policy=policy)
    page = client.get(reverse("rlhf:policy", args=["new"])).content.decode()
    assert "the open answer" in page and "the secret answer" not in page


def test_a_reward_model_stands_beside_what_length_alone_would_do(client: Client) -> None:
    model = make_reward_model("head", figures=FIGURES)
    page = client.get(reverse("rlhf:reward-model", args=[model.slug])).content.decode()
    for words in ("Orders 64%", "longer wins: .55", "shorter wins: .45", "control arm alone", ".90 (.60 to 1.20"):
        assert words in page, words


def test_an_accuracy_that_nobody_measured_is_not_shown_as_nought(client: Client) -> None:
    model = make_reward_model("head", figures={})
    page = client.get(reverse("rlhf:reward-model", args=[model.slug])).content.decode()
    assert "has not been measured" in page and "0%" not in page
