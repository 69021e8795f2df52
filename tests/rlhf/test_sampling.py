from __future__ import annotations

import pytest

from feedback.errors import BadInput
from feedback.models import Policy, Prompt
from rlhf import sampling
from rlhf.models import Base
from tests.factories import make_policy, make_prompt, make_response

pytestmark = pytest.mark.django_db


@pytest.fixture
def policy() -> Policy:
    Base.objects.create(name="toy", digest="d" * 64)
    return make_policy(kind="local", base="toy", decoding={"temperature": 0.5})


def test_only_draws_that_do_not_exist_are_sampled(policy: Policy) -> None:
    done, half = make_prompt(), make_prompt()
    for draw in (0, 1):
        make_response(done, policy=policy, draw=draw)
    make_response(half, policy=policy, draw=1)
    run = sampling.sample(policy=policy, prompts=Prompt.objects.all(), draws=range(2))
    assert run is not None and run.inputs["prompts"] == {half.key: [0]}


def test_nothing_is_ordered_when_every_answer_is_there(policy: Policy) -> None:
    make_response(make_prompt(), policy=policy, draw=0)
    assert sampling.sample(policy=policy, prompts=Prompt.objects.all(), draws=[0]) is None


def test_a_policy_samples_by_its_own_decoding_and_system_prompt(policy: Policy) -> None:
    make_prompt()
    run = sampling.sample(policy=policy, prompts=Prompt.objects.all(), draws=[0])
    assert run is not None and run.config["decoding"]["temperature"] == 0.5


def test_an_external_policy_cannot_be_sampled() -> None:
    with pytest.raises(BadInput, match="hands its answers in"):
        sampling.sample(policy=make_policy(), prompts=[], draws=[0])


def test_two_policies_never_share_random_numbers(policy: Policy) -> None:
    other = make_policy(kind="local", base="toy")
    assert sampling.own_seed(policy, 1) != sampling.own_seed(other, 1)
    assert sampling.own_seed(policy, 1) == sampling.own_seed(policy, 1)
    assert sampling.own_seed(policy, 1) != sampling.own_seed(policy, 2)


def test_answers_come_back_by_prompt_in_the_order_of_draws(policy: Policy) -> None:
    prompt = make_prompt()
    for draw in (1, 0, 2):
        make_response(prompt, f"draw {draw}", policy=policy, draw=draw)
    found = sampling.answers(policy, [prompt], range(2))
    assert [r.content for r in found[prompt.key]] == ["draw 0", "draw 1"]
