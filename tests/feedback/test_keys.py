from __future__ import annotations

import pytest

from feedback import keys
from feedback.kinds import KINDS
from feedback.rubrics import Rubric


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_things_share_a_key(kind: str) -> None:
    presses = [key.press for key in keys.sheet(kind)]
    assert len(presses) == len(set(presses))


@pytest.mark.parametrize("kind", KINDS)
def test_every_button_has_a_key_of_the_sheet(kind: str) -> None:
    known = {key.press for key in keys.sheet(kind)}
    for button in keys.choices(kind):
        assert button.keys and set(button.keys.split()) <= known


@pytest.mark.parametrize("kind", KINDS)
def test_the_sheet_for_reading_names_every_doing_once(kind: str) -> None:
    told = [str(does) for _press, does in keys.help_rows(kind)]
    assert len(told) == len(set(told)) and set(told) == {str(key.does) for key in keys.sheet(kind)}


@pytest.mark.parametrize("kind", ["comparison", "ranking", "thumbs", "edit"])
def test_every_button_gives_an_answer_that_its_kind_takes(kind: str) -> None:
    for button in keys.choices(kind):
        name = "thumb" if kind == "thumbs" else "choice"
        KINDS[kind].answer({name: button.value}, [0, 1], Rubric())
