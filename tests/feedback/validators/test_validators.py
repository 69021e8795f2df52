"""What each check lets pass and what it stops."""

from __future__ import annotations

import pytest

from feedback.validators import refusal, repetition, truncation

LONG = "The capital of France is Paris, which lies on the Seine and has been its seat of government for centuries"


@pytest.mark.parametrize("text", ["", "Paris.", "no no no no no no", f"{LONG}.", "a b c d e f g h i j k l m n o p"])
def test_ordinary_text_does_not_go_in_circles(text: str) -> None:
    assert repetition.check(text) is None


def test_a_phrase_said_again_and_again_is_named() -> None:
    found = repetition.check("I like it very much. " * 8)
    assert found is not None and "i like it very" in found and "8 times" in found


@pytest.mark.parametrize(
    "text",
    ["42", LONG[:40], f"{LONG}.", f"{LONG} (so they say).”", f"{LONG}:\n- one", f"{LONG}.\n```\nx = 1\n```"],
)
def test_finished_text_is_not_taken_as_cut_off(text: str) -> None:
    assert truncation.check(text) is None


@pytest.mark.parametrize("text", [LONG, f"{LONG}, and", "Here:\n```python\nx = 1"])
def test_text_that_stops_in_the_middle_is_cut_off(text: str) -> None:
    assert truncation.check(text)


@pytest.mark.parametrize(
    "text",
    ["I can’t help with that.", "I'm sorry, but I can't do this.", "As an AI, I am unable to.", "I will not."],
)
def test_answers_that_decline_are_recognised(text: str) -> None:
    assert refusal.check(text)


@pytest.mark.parametrize(
    "text",
    ["", "Sorry to hear that! Try this:", "You cannot divide by zero.", "x " * 250 + "I cannot recall."],
)
def test_answers_that_help_are_not(text: str) -> None:
    assert refusal.check(text) is None
