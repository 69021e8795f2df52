"""A canary answers a share of the keys, and every way back leaves the stable policy in charge."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from feedback.errors import BadInput, Conflict, NotAllowed
from feedback.models import Event
from rlhf import deployments
from rlhf.models import Deployment
from tests.factories import make_policy, make_user
from tests.factories_rlhf import make_decision, make_deployment

pytestmark = pytest.mark.django_db


def make_canary(share: float = 0.2) -> Deployment:
    deployment = make_deployment(alias="shop")
    deployments.start_canary(policy=make_policy("new"), share=share, alias="shop", reason="a look", actor=make_user())
    return Deployment.objects.get(pk=deployment.pk)


def test_the_share_of_keys_goes_to_the_canary_and_a_key_stays_where_it_is() -> None:
    deployment = make_canary(0.2)
    went = [deployments.resolve("shop", f"user-{n}") == deployment.canary for n in range(2000)]
    assert 0.16 < sum(went) / 2000 < 0.24
    assert went == [deployments.resolve("shop", f"user-{n}") == deployment.canary for n in range(2000)]


def test_a_larger_share_keeps_those_who_were_in() -> None:
    deployment = make_canary(0.1)
    before = {n for n in range(500) if deployments.resolve("shop", str(n)) == deployment.canary}
    assert deployment.canary is not None
    deployments.start_canary(policy=deployment.canary, share=0.5, alias="shop", reason="more")
    after = {n for n in range(500) if deployments.resolve("shop", str(n)) == deployment.canary}
    assert before < after


def test_without_a_key_the_stable_policy_answers() -> None:
    assert deployments.resolve("shop") is None
    deployment = make_canary(0.9)
    assert deployments.resolve("shop") == deployment.policy


def test_a_rollback_during_a_canary_recalls_it_and_moves_nothing_else() -> None:
    deployment = make_canary()
    stable = deployment.policy
    change = deployments.rollback(alias="shop", reason="rude answers")
    assert change.kind == "recall"
    assert {deployments.resolve("shop", str(n)) for n in range(50)} == {stable}
    with pytest.raises(Conflict, match="Nothing was live"):
        deployments.rollback(alias="shop")


def test_a_rollback_after_a_canary_goes_back_past_it() -> None:
    first = make_deployment(alias="shop").policy
    second = make_policy()
    deployments.promote(policy=second, alias="shop", force=True, reason="because")
    deployments.start_canary(policy=make_policy(), share=0.1, alias="shop", reason="a look")
    deployments.recall_canary(alias="shop")
    deployments.rollback(alias="shop")
    assert deployments.live("shop") == first


def test_a_serious_alarm_recalls_the_canary_by_itself_and_says_why() -> None:
    deployment = make_canary()
    assert deployments.alarmed(alias="shop", sentence="Twice as many refusals.")
    change = deployment.changes.order_by("-pk")[0]
    assert (change.kind, change.actor) == ("recall", None)
    assert "Twice as many refusals." in change.reason
    assert Event.objects.filter(verb="deployment.changed").latest("pk").after["kind"] == "recall"
    assert not deployments.alarmed(alias="shop", sentence="Again.")


def test_promoting_the_canary_ends_it_and_promoting_another_recalls_it() -> None:
    deployment = make_canary()
    canary = deployment.canary
    assert canary is not None
    deployments.promote(policy=canary, alias="shop", force=True, reason="it did well")
    deployment.refresh_from_db()
    assert (deployment.policy, deployment.canary, deployment.canary_share) == (canary, None, 0)
    third = make_policy()
    deployments.start_canary(policy=third, share=0.3, alias="shop", reason="a look")
    fourth = make_policy()
    deployments.promote(policy=fourth, alias="shop", force=True, reason="urgent")
    deployment.refresh_from_db()
    assert (deployment.policy, deployment.canary) == (fourth, None)
    assert [c.kind for c in deployment.changes.order_by("-pk")[:2]] == ["forced", "recall"]


def test_one_canary_at_a_time_and_never_the_live_policy() -> None:
    deployment = make_canary()
    with pytest.raises(Conflict, match="recall it first"):
        deployments.start_canary(policy=make_policy(), share=0.1, alias="shop", reason="x")
    with pytest.raises(Conflict, match="live under"):
        deployments.start_canary(policy=deployment.policy, share=0.1, alias="shop", reason="x")


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    make_deployment(alias="shop")
    with pytest.raises(BadInput, match="share"):
        deployments.start_canary(policy=make_policy(), share=share, alias="shop", reason="x")


def test_a_canary_needs_a_reason_or_a_decision() -> None:
    live = make_deployment(alias="shop").policy
    policy = make_policy()
    with pytest.raises(NotAllowed, match="reason"):
        deployments.start_canary(policy=policy, share=0.1, alias="shop")
    make_decision(candidate=policy, live=live, alias="shop", status="promoted")
    assert deployments.start_canary(policy=policy, share=0.1, alias="shop").kind == "canary"


def test_the_database_refuses_a_canary_without_share_and_one_that_is_live() -> None:
    deployment = make_deployment()
    for row in ({"canary": make_policy()}, {"canary_share": 0.1}, {"canary": deployment.policy, "canary_share": 0.1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Deployment.objects.filter(pk=deployment.pk).update(**row)
