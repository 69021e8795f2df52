"""The keys of the annotating page: one table, from which buttons, data attributes and the help sheet are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """A key and what it does. `press` is as KeyboardEvent says it, with "Shift+" before it where it counts."""

    press: str
    does: str


@dataclass(frozen=True)
class Choice:
    """A button that answers the question."""

    value: str
    words: str
    keys: str  # what may press it, blank-separated
    style: str = ""

    @property
    def key(self) -> str:
        return self.keys.split()[0]


CHOICES = {
    "comparison": (
        Choice("A", "A better", "1 Shift+1", "a-better primary"),
        Choice("tie", "Tie", "0"),
        Choice("both_bad", "Both bad", "9"),
        Choice("B", "B better", "2 Shift+2", "b-better primary"),
    ),
}
ANSWERS = {
    "comparison": (
        Key("1", "Answer A is better"),
        Key("2", "Answer B is better"),
        Key("Shift+1", "Answer A is much better"),
        Key("Shift+2", "Answer B is much better"),
        Key("0", "A tie: equally good"),
        Key("9", "Both are bad"),
    ),
}
GENERAL = (
    Key("s", "Skip: somebody else will answer"),
    Key("u", "Undo your last answer"),
    Key("n", "Write a note"),
    Key("Escape", "Leave the note, back to the keys"),
    Key("d", "Mark the words that differ"),
    Key("g", "Show or hide the guidelines"),
    Key("?", "This sheet"),
)


def choices(kind: str) -> tuple[Choice, ...]:
    return CHOICES[kind]


def sheet(kind: str) -> tuple[Key, ...]:
    """Every key that works on the page of this kind of queue."""
    return ANSWERS[kind] + GENERAL
