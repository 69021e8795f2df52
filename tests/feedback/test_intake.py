from __future__ import annotations

import pytest

from feedback import intake
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Prompt, Response
from tests.factories import make_policy, make_prompt

pytestmark = pytest.mark.django_db


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_the_same_prompt_twice_is_one_row() -> None:
    first = intake.add_prompts(rows=[{"messages": user("Hello there")}])
    again = intake.add_prompts(rows=[{"messages": user("Hello there")}])
    assert (first.created, again.created, again.existing) == (1, 0, 1)
    assert first.ids == again.ids


def test_prompts_that_differ_in_case_and_punctuation_share_group_and_split() -> None:
    intake.add_prompts(rows=[{"messages": user("Tell me a joke!"), "split": "gate"}])
    intake.add_prompts(rows=[{"messages": user("  tell me a JOKE")}])
    assert list(Prompt.objects.values_list("split", flat=True)) == ["gate", "gate"]
    assert Prompt.objects.values("group").distinct().count() == 1


def test_a_group_never_changes_its_split() -> None:
    intake.add_prompts(rows=[{"messages": user("Once"), "split": "train"}])
    with pytest.raises(Conflict, match=r"\[0\].split"):
        intake.add_prompts(rows=[{"messages": user("once."), "split": "dev"}])


def test_split_shares_follow_the_settings(settings: object) -> None:
    splits = [intake.split_of(f"group {n}") for n in range(4000)]
    assert abs(splits.count("gate") / 4000 - settings.PLUMBLINE_GATE_SHARE) < 0.02  # type: ignore[attr-defined]
    assert abs(splits.count("dev") / 4000 - settings.PLUMBLINE_DEV_SHARE) < 0.02  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({}, "[1].messages"),
        ({"messages": []}, "[1].messages"),
        ({"messages": user("a\x00b")}, "[1].messages[0].content"),
        ({"messages": user("hi"), "split": "test"}, "[1].split"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "[1].messages[0]"),
        ("text", "[1]"),
    ],
)
def test_a_bad_prompt_names_its_place_and_nothing_is_stored(row: object, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        intake.add_prompts(rows=[{"messages": user("fine")}, row])  # type: ignore[list-item]
    assert caught.value.details["where"].startswith(where)
    assert Prompt.objects.count() == 0


def test_a_policy_is_immutable() -> None:
    intake.add_policy(slug="p", kind="external")
    assert intake.add_policy(slug="p", kind="external")[1] is False
    with pytest.raises(Conflict, match="immutable"):
        intake.add_policy(slug="p", kind="external", system_prompt="Be brief.")


def test_a_response_needs_a_known_prompt_and_policy() -> None:
    policy = make_policy()
    with pytest.raises(NotFound, match=r"\[0\].prompt"):
        intake.add_responses(rows=[{"prompt": "x" * 64, "policy": policy.slug, "content": "a"}])
    with pytest.raises(NotFound, match=r"\[0\].policy"):
        intake.add_responses(rows=[{"prompt": make_prompt().key, "policy": "nobody", "content": "a"}])


def test_an_empty_answer_is_refused_from_outside_and_kept_from_our_own_sampling() -> None:
    row = {"prompt": make_prompt().key, "policy": make_policy().slug, "content": " "}
    with pytest.raises(BadInput, match=r"\[0\].content"):
        intake.add_responses(rows=[row])
    intake.add_responses(rows=[row], allow_empty=True)
    assert Response.objects.count() == 1
