from __future__ import annotations

import pytest

from feedback import keys
from feedback.kinds import KINDS
from feedback.rubrics import Rubric


@pytest.mark.parametrize("kind", keys.CHOICES)
def test_no_two_things_share_a_key(kind: str) -> None:
    presses = [key.press for key in keys.sheet(kind)]
    assert len(presses) == len(set(presses))


@pytest.mark.parametrize("kind", keys.CHOICES)
def test_the_sheet_explains_every_key_of_every_button(kind: str) -> None:
    explained = {key.press for key in keys.sheet(kind)}
    assert {press for choice in keys.choices(kind) for press in choice.keys.split()} <= explained


@pytest.mark.parametrize("kind", keys.CHOICES)
def test_every_button_gives_an_answer_that_its_kind_takes(kind: str) -> None:
    for choice in keys.choices(kind):
        KINDS[kind].answer({"choice": choice.value}, [0, 1], Rubric())
