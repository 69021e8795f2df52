"""Every engineer's page opens with something in it and with nothing in it, for engineers alone."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from rlhf import urls
from rlhf.models import Decision, Loop, RewardDataset, Run
from tests.factories import make_user
from tests.factories_rlhf import make_world

pytestmark = pytest.mark.django_db

LISTS = ("loops", "runs", "datasets", "policies", "decisions")
FOR_ALL = {"teach", "teach-start", "teach-vote", "teach-undo"}
CHOOSERS = {
    "runs-compare",
    "runs-compare-metrics",
    "run-start",
    "policies-compare",
    "dataset-new",
    "leaderboard",
    "leaderboard-ask",
    "gate-prompts",
    "deployments",
}  # pages that offer a choice when nothing is chosen
NAMES = sorted(p.name for p in urls.urlpatterns if p.name and p.name not in FOR_ALL)
POSTED = {
    "loop-go",
    "loop-retry",
    "loop-pause",
    "run-cancel",
    "run-resume",
    "promote",
    "rollback",
    "archive",
    "decision-override",
    "decision-abandon",
    "dataset-again",
    "alarm-close",
    "canary",
    "leaderboard-ask",
}


def signed_in(role: str = "engineer") -> Client:
    client = Client()
    client.force_login(make_user(role=role))
    return client


def address(name: str) -> str:
    """Some address of this name; the thing need not exist."""
    for kwargs in (
        {},
        {"slug": "x"},
        {"pk": uuid.uuid4()},
        {"alias": "x"},
        {"pk": uuid.uuid4(), "name": "x"},
        {"kind": "policies", "slug": "x"},
        {"slug": "x", "pk": uuid.uuid4()},
        {"type": "run", "id": str(uuid.uuid4())},
    ):
        try:
            return reverse(f"rlhf:{name}", kwargs=kwargs)
        except Exception:  # noqa: S112
            continue
    raise AssertionError(f"no address for {name}")


def every_page() -> list[str]:
    """Addresses of real things, of every kind of page."""
    decision, dataset = Decision.objects.get(), RewardDataset.objects.get()
    return [
        *(reverse(f"rlhf:{name}") for name in LISTS),
        reverse("rlhf:run-start"),
        reverse("rlhf:policies-compare") + f"?policy={decision.live.slug}&policy={decision.candidate.slug}",
        reverse("rlhf:runs-compare") + "?" + "&".join(f"runs={run.pk}" for run in Run.objects.filter(kind="dpo")),
        reverse("rlhf:loop", args=["demo"]),
        reverse("rlhf:loop", args=["demo"]) + "?round=1",
        *(reverse("rlhf:run", args=[run.pk]) for run in Run.objects.all()),
        reverse("rlhf:dataset", args=[dataset.pk]),
        reverse("rlhf:policy", args=[decision.candidate.slug]),
        reverse("rlhf:policy", args=[decision.live.slug]),
        reverse("rlhf:reward-model", args=["demo-head"]),
        reverse("rlhf:decision", args=[decision.pk]),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("role", ["annotator", "reviewer"])
def test_who_is_no_engineer_is_refused_everywhere(name: str, role: str) -> None:
    client = signed_in(role)
    ask = client.post if name in POSTED else client.get
    assert ask(address(name)).status_code == 403


@pytest.mark.parametrize("name", [*NAMES, *sorted(FOR_ALL)])
def test_a_stranger_is_sent_to_the_sign_in_page(name: str) -> None:
    answer = Client().post(address(name)) if name in POSTED else Client().get(address(name))
    assert answer.status_code == 302 and "/accounts/login/" in answer["Location"]


@pytest.mark.parametrize("name", sorted(POSTED))
def test_what_changes_something_answers_to_post_alone(name: str) -> None:
    assert signed_in().get(address(name)).status_code == 405


@pytest.mark.parametrize("name", [n for n in NAMES if n not in (*LISTS, *CHOOSERS)])
def test_what_does_not_exist_is_not_found(name: str) -> None:
    client = signed_in()
    ask = client.post if name in POSTED else client.get
    assert ask(address(name)).status_code == 404


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_says_what_will_be_here(name: str) -> None:
    answer = signed_in().get(address(name))
    assert answer.status_code == 200
    assert b"yet" in answer.content


@pytest.mark.parametrize("role", ["engineer", "admin"])
def test_every_page_opens_with_real_things_in_it(role: str) -> None:
    make_world()
    client = signed_in(role)
    for page in every_page():
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert b"Plumbline</title>" in answer.content, page


def test_a_fragment_is_answered_to_htmx_without_the_page_around_it() -> None:
    loop = make_world()
    decision = Decision.objects.get()
    run = Run.objects.filter(status="running").get()
    client = signed_in()
    for page in (("loop", loop.slug), ("run", run.pk), ("decision", decision.pk)):
        answer = client.get(reverse(f"rlhf:{page[0]}", args=[page[1]]), headers={"HX-Request": "true"})
        assert b"<html" not in answer.content
        assert f'id="{page[0]}"'.encode() in answer.content


def test_no_page_makes_queries_in_proportion_to_its_rows(django_assert_max_num_queries: object) -> None:
    make_world()
    client = signed_in()
    for page in every_page():
        with django_assert_max_num_queries(60):  # type: ignore[operator]
            client.get(page)
    assert Loop.objects.count() == 1
