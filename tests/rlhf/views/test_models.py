"""Policies, reward models, and the aliases turned by hand."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from feedback.models import Event, Policy
from rlhf import artifacts, deployments
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


def test_an_archived_policy_leaves_the_lists_but_not_its_address_and_comes_back(client: Client) -> None:
    make_policy("old-one")
    address = reverse("rlhf:archive", args=["policies", "old-one"])
    client.post(address)
    listed = client.get(reverse("rlhf:policies")).content.decode()
    assert "old-one" not in listed and "With 1 archived" in listed
    assert "old-one" in client.get(reverse("rlhf:policies") + "?archived=1").content.decode()
    assert client.get(reverse("rlhf:policy", args=["old-one"])).status_code == 200
    client.post(address, {"restore": "1"})
    assert "old-one" in client.get(reverse("rlhf:policies")).content.decode()
    assert list(Event.objects.filter(object_id="old-one").values_list("verb", flat=True).order_by("pk"))[-2:] == [
        "policy.archived",
        "policy.restored",
    ]


def test_what_is_live_cannot_be_archived(client: Client) -> None:
    make_deployment(make_policy("old"))
    answer = client.post(reverse("rlhf:archive", args=["policies", "old"]), follow=True).content.decode()
    assert "is live as production" in answer and Policy.objects.get(slug="old").archived_at is None


def test_a_download_is_a_tar_file_with_the_card_and_every_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "adapter_model.safetensors").write_bytes(b"x" * 70_001)
    digest = artifacts.publish(tmp_path, kind="dpo")
    make_policy("new", kind="local", base="tiny", adapter=digest, system_prompt="Be brief.")
    answer = client.get(reverse("rlhf:download", args=["policies", "new"]))
    with tarfile.open(fileobj=io.BytesIO(b"".join(answer))) as tar:  # type: ignore[arg-type]
        names = tar.getnames()
        weights, card = (tar.extractfile(f"new/{name}") for name in ("0/adapter_model.safetensors", "README.md"))
        assert weights is not None and weights.read() == b"x" * 70_001
        assert card is not None and b"> Be brief." in card.read()
    assert "new/artifact.json" in names


def test_a_download_of_what_is_not_here_says_so(client: Client) -> None:
    make_policy("new", kind="local", base="tiny", adapter="0" * 64)
    answer = client.get(reverse("rlhf:download", args=["policies", "new"]), follow=True).content.decode()
    assert "not on this machine" in answer


def test_a_card_tells_of_training_and_decisions(client: Client) -> None:
    model = make_reward_model("head", figures=FIGURES)
    text = client.get(reverse("rlhf:card", args=["reward-models", "head"])).content.decode()
    assert text.startswith("# head\n") and "0.640 (0.570 to 0.700, n 212)" in text and str(model.run_id) in text


def test_two_policies_are_compared_by_what_differs_and_by_their_answers(client: Client) -> None:
    one = make_policy("one", kind="local", base="tiny", system_prompt="Be brief.")
    two = make_policy("two", kind="local", base="tiny", system_prompt="Be long.")
    for split in ("dev", "gate"):
        prompt = make_prompt(split=split)
        make_response(prompt, f"short {split}", policy=one)
        make_response(prompt, f"long {split}", policy=two)
    page = client.get(reverse("rlhf:policies-compare"), {"policy": ["one", "two"]}).content.decode()
    assert "Be brief." in page and "Be long." in page and ">base<" not in page
    assert "short dev" in page and "long dev" in page and "gate" not in page
