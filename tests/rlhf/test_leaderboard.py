"""The leaderboard reads dev comparisons of one kind of judge; what it shows can be asked for."""

from __future__ import annotations

import pytest
from django.test import Client

from feedback import aggregation, pairing
from feedback.errors import BadInput, Conflict
from feedback.models import Item, Policy, Queue, User
from rlhf import leaderboard
from tests.factories import make_member, make_policy, make_prompt, make_queue, make_response, make_user
from tests.factories_rlhf import make_deployment, make_loop, vote

pytestmark = pytest.mark.django_db


def make_contest(*, wins: int = 14, losses: int = 3, split: str = "dev", kind: str = "human") -> tuple[Policy, Policy]:
    """Two policies that met on prompts of a split; `wins` votes for the first."""
    judge, queue = make_user(), make_queue(demo=True)
    make_member(queue, judge, kind=kind)
    good, poor = make_policy(), make_policy()
    for n in range(wins + losses):
        prompt = make_prompt(split=split)
        pair = [make_response(prompt, f"yes {n}", policy=good), make_response(prompt, f"no {n}", policy=poor)]
        pairing.add_items(queue=queue, drafts=[pairing.Draft(prompt, pair, arm="control")])
    for n in range(wins + losses):
        vote(queue, judge, 0 if n < wins else 1)
    aggregation.gather()
    return good, poor


def test_the_better_policy_stands_above_with_its_interval() -> None:
    good, poor = make_contest()
    found = leaderboard.board()
    assert [row["policy"] for row in found.rows] == [good.slug, poor.slug]
    assert (found.rows[0]["best"], found.rows[0]["worst"], found.votes) == (1, 1, 17)
    assert found.rows[0]["low"] < found.rows[0]["strength"] < found.rows[0]["high"]


def test_policies_that_few_votes_cannot_tell_apart_share_their_ranks() -> None:
    make_contest(wins=6, losses=5)
    assert [(row["best"], row["worst"]) for row in leaderboard.board().rows] == [(1, 2), (1, 2)]


def test_votes_on_train_prompts_and_of_other_kinds_of_judges_do_not_count() -> None:
    make_contest(split="train")
    make_contest(kind="simulated")
    assert leaderboard.board().votes == 0
    assert leaderboard.board(kind="simulated").votes == 17
    with pytest.raises(BadInput, match="kind"):
        leaderboard.board(kind="ghosts")


def test_few_votes_make_no_table() -> None:
    make_contest(wins=4, losses=2)
    assert leaderboard.board().rows == []


def make_answers(*, prompts: int = 6) -> tuple[list[Policy], Queue]:
    policies = [make_policy(), make_policy(), make_policy()]
    for n in range(prompts):
        prompt = make_prompt(split="dev")
        for policy in policies:
            make_response(prompt, f"{policy.slug} answers {n}", policy=policy)
    return policies, make_queue()


def test_asking_puts_one_pair_a_dev_prompt_into_the_queue() -> None:
    policies, queue = make_answers()
    items = leaderboard.ask(policies=policies, queue=queue, limit=4)
    assert len({item.prompt_id for item in items}) == 4
    assert set(Item.objects.filter(queue=queue).values_list("arm", flat=True)) == {"control"}


def test_asking_needs_two_policies_with_answers_and_a_queue_for_comparisons() -> None:
    policies, queue = make_answers(prompts=1)
    with pytest.raises(BadInput, match="two or more"):
        leaderboard.ask(policies=policies[:1], queue=queue, limit=4)
    with pytest.raises(Conflict, match="sample some first"):
        leaderboard.ask(policies=[make_policy(), make_policy()], queue=queue, limit=4)
    with pytest.raises(BadInput, match="label queue"):
        leaderboard.ask(policies=policies, queue=make_queue(purpose="gate"), limit=4)


@pytest.fixture
def engineer(client: Client) -> User:
    user = make_user("eve", role="engineer")
    client.force_login(user)
    return user


@pytest.mark.usefixtures("engineer")
def test_the_page_shows_ranks_and_whose_votes_they_are(client: Client) -> None:
    good, _ = make_contest(kind="simulated")
    text = client.get("/leaderboard/").content.decode()
    assert good.slug in text
    assert "simulated" in text
    assert "taken out" in client.get("/leaderboard/?kind=simulated&style=1").content.decode()


@pytest.mark.usefixtures("engineer")
def test_pairs_are_asked_for_from_the_page(client: Client) -> None:
    policies, queue = make_answers()
    body = {"policies": [p.slug for p in policies], "queue": queue.slug, "limit": "3"}
    assert client.post("/leaderboard/ask/", body).status_code == 302
    assert Item.objects.filter(queue=queue).count() == 3
    assert b"whole number" in client.post("/leaderboard/ask/", body | {"limit": "many"}, follow=True).content


@pytest.mark.usefixtures("engineer")
def test_the_gate_prompts_page_says_when_no_decision_can_be_opened(client: Client) -> None:
    make_loop("shop", prompt_filter={"metadata__workspace": "shop"})
    for _ in range(30):
        make_prompt(split="gate", metadata={"workspace": "elsewhere"})
    text = client.get("/gate-prompts/").content.decode()
    assert "Shop" in text
    assert "no decision can be opened" in text


@pytest.mark.usefixtures("engineer")
def test_a_canary_goes_out_and_comes_back_from_the_page(client: Client) -> None:
    deployment = make_deployment(alias="shop")
    new = make_policy("new")
    body = {"policy": "new", "percent": "10", "reason": "a look"}
    text = client.post("/deployments/shop/canary/", body, follow=True).content.decode()
    assert "10% of the keys" in text
    deployment.refresh_from_db()
    assert deployment.canary == new
    client.post("/deployments/shop/canary/", {"recall": "1", "reason": "seen"})
    deployment.refresh_from_db()
    assert deployment.canary is None
    assert b"above 0" in client.post("/deployments/shop/canary/", body | {"percent": "0"}, follow=True).content
