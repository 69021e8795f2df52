"""The keys of the annotating page: one table, from which buttons, data attributes and the help sheet are made."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from .kinds import SLOTS, Choice, kind_of
from .rubrics import Words


class Key(NamedTuple):
    """What a key does. `press` is as KeyboardEvent says it, with "Shift+" before it where it counts."""

    action: str
    press: str
    does: Words


class Button(NamedTuple):
    """A choice of the kind with the keys that press it."""

    value: str
    words: Words
    style: str
    keys: str  # blank-separated

    @property
    def key(self) -> str:
        return self.keys.split()[0] if self.keys else ""


SUBMIT = Key("submit", "Enter", _("Save and go on (Ctrl+Enter while you write)"))
ANSWERS: dict[str, tuple[Key, ...]] = {
    "comparison": (
        Key("a", "1", _("Answer A is better")),
        Key("b", "2", _("Answer B is better")),
        Key("a", "Shift+1", _("Answer A is much better")),
        Key("b", "Shift+2", _("Answer B is much better")),
        Key("tie", "0", _("A tie: equally good")),
        Key("both_bad", "9", _("Both are bad")),
    ),
    "ranking": (
        *(Key(f"place_{slot}", str(n), _("Put this answer next")) for n, slot in enumerate(SLOTS, start=1)),
        *(Key(f"place_{slot}", f"Shift+{n}", _("Same rank as the last one")) for n, slot in enumerate(SLOTS, start=1)),
        SUBMIT,
        Key("all_bad", "b", _("All are bad")),
        Key("afresh", "x", _("Start the order over")),
    ),
    "rating": (
        *(Key("points", str(n), _("Points for the marked row; then the next row")) for n in range(1, 8)),
        SUBMIT,
    ),
    "thumbs": (Key("up", "1", _("A good answer")), Key("down", "2", _("A bad answer"))),
    "edit": (
        Key("write", "e", _("Write your version; Escape leaves the field")),
        SUBMIT,
        Key("as_it_is", "0", _("It is good as it is")),
    ),
}
GENERAL = (
    Key("skip", "s", _("Skip: somebody else will answer")),
    Key("skip_harmful", "h", _("Too hard to read: pass it on")),
    Key("undo", "u", _("Undo your last answer")),
    Key("note", "n", _("Write a note")),
    Key("leave", "Escape", _("Leave the note, back to the keys")),
    Key("flags", "f", _("Say what is wrong with it")),
    Key("mark", "m", _("Mark the passage that is selected")),
    Key("reveal", "r", _("Show a text that is veiled")),
    Key("diff", "d", _("Mark the words that differ")),
    Key("guidelines", "g", _("Show or hide the guidelines")),
    Key("help", "?", _("This sheet")),
)


def choices(kind: str) -> tuple[Button, ...]:
    """The buttons that answer at once, in their order on the page."""
    return tuple(_button(choice, kind) for choice in kind_of(kind).choices)


def _button(choice: Choice, kind: str) -> Button:
    return Button(choice.value, choice.words, choice.style, presses(kind, choice.action))


def presses(kind: str, action: str) -> str:
    return " ".join(key.press for key in sheet(kind) if key.action == action)


def by_action(kind: str) -> dict[str, str]:
    """Action -> the key shown for it."""
    return {key.action: key.press for key in reversed(sheet(kind))}


def sheet(kind: str) -> tuple[Key, ...]:
    """Every key that works on the page of this kind of queue."""
    return ANSWERS[kind] + GENERAL


def help_rows(kind: str) -> list[tuple[str, Words]]:
    """The sheet for reading: keys that do the same stand in one row, "1 … 9"."""
    rows: dict[str, list[str]] = {}
    for key in sheet(kind):
        rows.setdefault(str(key.does), []).append(key.press)
    return [(keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]}", does) for does, keys in rows.items()]
