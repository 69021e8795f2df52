"""What a queue asks beside the answer itself: attributes to rate, flags, notes, marks in the text, examples.

A rubric is the JSON of `Queue.rubric`, every part optional:
    {"attributes": [{"name", "title"?, "points"?: 3..7, "low"?, "high"?, "weight"?, "help"?}],
     "flags": [name or {"name", "title"}], "marks": [the same], "rationale": "optional"|"required"|"none",
     "strength": true, "examples": [{"messages" or "prompt", "responses", "answer", "why"?}]}
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import clean_text
from .errors import BadInput

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
POINTS = (3, 7)
MOST = {"attributes": 12, "flags": 12, "marks": 12, "examples": 20}
RATIONALES = ("optional", "required", "none")
Words = str | Promise

FLAGS: dict[str, Words] = {
    "harmful": _("Harmful"),
    "personal_data": _("Personal data"),
    "false": _("Says something false"),
    "refuses_wrongly": _("Refuses without reason"),
    "wrong_language": _("Wrong language"),
    "broken": _("Broken text"),
}
MARKS: dict[str, Words] = {
    "made_up": _("Made up"),
    "wrong": _("Wrong"),
    "unclear": _("Unclear"),
    "harmful": _("Harmful"),
    "good": _("Well said"),
}


@dataclass(frozen=True)
class Named:
    """A flag or a mark: stored by name, shown by title."""

    name: str
    title: Words


@dataclass(frozen=True)
class Attribute:
    """A scale of `points` steps with words at its poles; `weight` is its share in the whole."""

    name: str
    title: Words
    points: int = 5
    low: Words = ""
    high: Words = ""
    weight: float = 1.0
    help: str = ""

    @property
    def steps(self) -> range:
        return range(1, self.points + 1)


@dataclass(frozen=True)
class Example:
    """A question with the answer that the guidelines want (a judgment's body, by position), and why."""

    messages: tuple[dict[str, str], ...]
    responses: tuple[str, ...]
    answer: dict[str, Any]
    why: str = ""


QUALITY = Attribute("quality", _("Quality"), 5, _("of no use"), _("could not be better"))


@dataclass(frozen=True)
class Rubric:
    attributes: tuple[Attribute, ...] = (QUALITY,)
    flags: tuple[Named, ...] = tuple(Named(*pair) for pair in FLAGS.items())
    marks: tuple[Named, ...] = tuple(Named(*pair) for pair in MARKS.items())
    rationale: str = "optional"
    strength: bool = True
    examples: tuple[Example, ...] = ()


def parse(data: Any) -> Rubric:
    """The rubric of a queue; None gives the defaults. Raises BadInput naming the place."""
    if data is None:
        return Rubric()
    try:
        clean_text.clean(data)
    except clean_text.BadText as bad:
        raise _bad(f"rubric.{bad.path}", bad.reason) from bad
    if not isinstance(data, dict):
        raise _bad("rubric", "expected an object")
    readers: dict[str, Callable[[Any], Any]] = {
        "attributes": lambda rows: _rows(rows, "attributes", _attribute),
        "flags": lambda rows: _rows(rows, "flags", lambda row, where: _named(row, where, FLAGS)),
        "marks": lambda rows: _rows(rows, "marks", lambda row, where: _named(row, where, MARKS)),
        "rationale": lambda value: _one_of(value, "rubric.rationale", RATIONALES),
        "strength": lambda value: _bool(value, "rubric.strength"),
        "examples": lambda rows: _rows(rows, "examples", _example),
    }
    for name in data:
        if name not in readers:
            raise _bad(f"rubric.{name}", f"is no part of a rubric; there are {', '.join(readers)}")
    given = {name: readers[name](value) for name, value in data.items() if value is not None}
    if given.get("attributes") == ():
        raise _bad("rubric.attributes", "at least one, or leave it out")
    return Rubric(**given)


def _bad(where: str, reason: str) -> BadInput:
    return BadInput(f"{where}: {reason}.", where=where)


def _rows(rows: Any, name: str, read: Any) -> tuple[Any, ...]:
    where = f"rubric.{name}"
    if not isinstance(rows, list) or len(rows) > MOST[name]:
        raise _bad(where, f"expected a list of at most {MOST[name]}")
    found = tuple(read(row, f"{where}[{n}]") for n, row in enumerate(rows))
    names = [row.name for row in found if hasattr(row, "name")]
    if len(names) != len(set(names)):
        raise _bad(where, "two have the same name")
    return found


def _attribute(row: Any, where: str) -> Attribute:
    _keys(row, where, ("name", "title", "points", "low", "high", "weight", "help"))
    name = _name(row.get("name"), where)
    points, weight = row.get("points", 5), row.get("weight", 1.0)
    if type(points) is not int or not POINTS[0] <= points <= POINTS[1]:
        raise _bad(f"{where}.points", f"expected a whole number from {POINTS[0]} to {POINTS[1]}")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 100:
        raise _bad(f"{where}.weight", "expected a number above 0, 100 at most")
    title = _text(row, "title", where) or name.replace("_", " ").capitalize()
    low, high, told = (_text(row, part, where) for part in ("low", "high", "help"))
    return Attribute(name, title, points, low, high, float(weight), told)


def _named(row: Any, where: str, known: dict[str, Words]) -> Named:
    if isinstance(row, str):
        row = {"name": row}
    _keys(row, where, ("name", "title"))
    name = _name(row.get("name"), where)
    return Named(name, _text(row, "title", where) or known.get(name) or name.replace("_", " ").capitalize())


def _example(row: Any, where: str) -> Example:
    _keys(row, where, ("messages", "prompt", "responses", "answer", "why"))
    messages = row.get("messages") or [{"role": "user", "content": row.get("prompt")}]
    try:
        messages = clean_text.check_messages(messages, f"{where}.messages")
    except clean_text.BadText as bad:
        raise _bad(bad.path, bad.reason) from bad
    responses = row.get("responses")
    if not isinstance(responses, list) or not responses or not all(isinstance(r, str) and r for r in responses):
        raise _bad(f"{where}.responses", "expected a list of texts")
    if not isinstance(row.get("answer"), dict):
        raise _bad(f"{where}.answer", "expected the answer that the guidelines want, as an object")
    return Example(tuple(messages), tuple(responses), row["answer"], _text(row, "why", where))


def _keys(row: Any, where: str, known: tuple[str, ...]) -> None:
    if not isinstance(row, dict):
        raise _bad(where, "expected an object")
    for name in row:
        if name not in known:
            raise _bad(f"{where}.{name}", f"unknown; there are {', '.join(known)}")


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _bad(f"{where}.name", "expected a name of a-z, 0-9 and _, beginning with a letter, 40 at most")
    return value


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str) or len(value) > 2000:
        raise _bad(f"{where}.{name}", "expected text of at most 2000 characters")
    return value


def _one_of(value: Any, where: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise _bad(where, f"expected one of {', '.join(known)}")
    return str(value)


def _bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _bad(where, "expected true or false")
    return value


def score(ratings: dict[str, int], rubric: Rubric) -> float:
    """The weighted mean of the attributes, each brought to 0..1: sum w (r - 1)/(points - 1) / sum w; 6 places."""
    total = math.fsum(a.weight for a in rubric.attributes)
    parts = (a.weight * (ratings[a.name] - 1) / (a.points - 1) for a in rubric.attributes)
    return round(math.fsum(parts) / total, 6)
