from __future__ import annotations

import pytest

from feedback.errors import Conflict, NotAllowed, NotFound
from rlhf import deployments
from tests.factories import make_policy

pytestmark = pytest.mark.django_db


def test_the_first_policy_of_an_alias_needs_no_decision() -> None:
    policy = make_policy()
    assert deployments.promote(policy=policy).kind == "start"
    assert deployments.live("production") == policy


def test_the_next_one_needs_a_decision_or_force_with_a_reason() -> None:
    deployments.promote(policy=make_policy())
    new = make_policy()
    with pytest.raises(Conflict, match="No decision"):
        deployments.promote(policy=new)
    with pytest.raises(NotAllowed, match="reason"):
        deployments.promote(policy=new, force=True)
    assert deployments.promote(policy=new, force=True, reason="urgent").kind == "forced"


def test_two_rollbacks_go_back_two_steps_and_a_third_is_refused() -> None:
    one, two, three = make_policy(), make_policy(), make_policy()
    for policy in (one, two, three):
        deployments.promote(policy=policy, force=True, reason="test")
    assert deployments.rollback().policy == two
    assert deployments.rollback().policy == one
    with pytest.raises(Conflict, match="Nothing was live"):
        deployments.rollback()


def test_a_promotion_after_a_rollback_can_be_rolled_back_too() -> None:
    one, two, three = make_policy(), make_policy(), make_policy()
    for policy in (one, two):
        deployments.promote(policy=policy, force=True, reason="test")
    deployments.rollback()
    deployments.promote(policy=three, force=True, reason="test")
    assert deployments.rollback().policy == one


def test_an_alias_may_not_take_the_name_of_a_policy() -> None:
    policy = make_policy("production")
    with pytest.raises(Conflict, match="one namespace"):
        deployments.promote(policy=policy)


def test_an_unknown_alias_cannot_be_rolled_back() -> None:
    with pytest.raises(NotFound):
        deployments.rollback(alias="nowhere")
