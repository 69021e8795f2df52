from __future__ import annotations

from rlhf.engine.chat import with_system

ASK = {"role": "user", "content": "Hello?"}


def test_without_a_policy_text_the_messages_stay_as_they_are() -> None:
    assert with_system([ASK], "") == [ASK]


def test_the_policys_text_becomes_the_system_message() -> None:
    assert with_system([ASK], "Be kind.") == [{"role": "system", "content": "Be kind."}, ASK]


def test_the_policys_text_comes_first_in_the_prompts_own_system_message() -> None:
    prompt = [{"role": "system", "content": "You sell shoes."}, ASK]
    together = with_system(prompt, "Be kind.")
    assert together == [{"role": "system", "content": "Be kind.\n\nYou sell shoes."}, ASK]
    assert prompt[0]["content"] == "You sell shoes."
