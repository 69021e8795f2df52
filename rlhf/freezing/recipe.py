"""The recipe of a dataset: one schema behind the form, the YAML file, the API and the table in the guide.

A field's check reads the value as JSON or YAML has it and, from a form, as text. What a recipe leaves at
its default is not stored, so that a field added later changes no digest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

from feedback.errors import BadInput
from feedback.models import ARMS

AGGREGATIONS = ("share", "per_judgment", "majority", "dawid_skene", "bradley_terry")
FILTERS = ("pii", "profanity")


@dataclass(frozen=True)
class Check:
    """What a field may be: `read` returns the value or raises ValueError with what was expected."""

    read: Callable[[Any], Any]
    from_text: Callable[[str], Any] = str.strip
    choices: tuple[str, ...] = ()
    many: bool = False


def one_of(*values: str) -> Check:
    def read(value: Any) -> str:
        if value not in values or not isinstance(value, str):
            raise ValueError(f"one of {', '.join(values)}")
        return value

    return Check(read, choices=values)


def some_of(*values: str, least: int = 0) -> Check:
    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) < least or any(v not in values for v in value):
            raise ValueError(f"some of {', '.join(values)}")
        return tuple(v for v in values if v in value)

    return Check(read, from_text=_listed, choices=values, many=True)


def names() -> Check:
    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or any(not isinstance(v, str) or not v.strip() for v in value):
            raise ValueError("a list of names")
        return tuple(sorted({v.strip() for v in value}))

    return Check(read, from_text=_listed, many=True)


def whole(low: int, high: int = 10**9) -> Check:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low}")
        return value

    return Check(read, from_text=lambda text: int(text) if text.strip().isdecimal() else text)


def number(low: float, high: float) -> Check:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return Check(read, from_text=_number)


def day() -> Check:
    def read(value: Any) -> str:
        if value == "" or isinstance(value, date):
            return str(value)
        try:
            return date.fromisoformat(value).isoformat()
        except (TypeError, ValueError):
            raise ValueError("a day such as 2026-11-30") from None

    return Check(read)


def name() -> Check:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a name")
        return value.strip()

    return Check(read)


def _listed(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _of(default: Any, check: Check, help: str, group: str) -> Any:
    return field(default=default, metadata={"check": check, "help": help, "group": group})


SOURCES, PEOPLE, VOTES, TEXT, ROWS = "Which pairs", "Whose votes", "How votes become rows", "Texts", "Which rows"


@dataclass(frozen=True)
class Recipe:
    """What goes in, how votes become probabilities, and which rows stay."""

    arms: tuple[str, ...] = _of(ARMS, some_of(*ARMS, least=1), "why the pair was asked", SOURCES)
    policies: tuple[str, ...] = _of((), names(), "both answers were written by these policies", SOURCES)
    policy_age: int = _of(0, whole(0, 100), "or by their ancestors, so many generations back", SOURCES)
    since: str = _of("", day(), "judgments made on this day or later", PEOPLE)
    until: str = _of("", day(), "judgments made before this day", PEOPLE)
    annotators: tuple[str, ...] = _of((), names(), "only these people's votes", PEOPLE)
    without: tuple[str, ...] = _of((), names(), "not these people's votes", PEOPLE)
    guidelines_from: int = _of(1, whole(1), "the oldest version of the guidelines that counts", PEOPLE)
    held_out: float = _of(0.0, number(0, 0.9), "share of people whose votes count on dev prompts alone", PEOPLE)
    aggregation: str = _of("share", one_of(*AGGREGATIONS), "how the votes on a pair are put together", VOTES)
    targets: str = _of("soft", one_of("soft", "hard"), "hard: probability 1 for the side that won", VOTES)
    margin: str = _of("none", one_of("none", "strength"), "strength: mean strength for chosen, as a margin", VOTES)
    min_votes: int = _of(1, whole(1), "the least judgments a pair needs", ROWS)
    min_probability: float = _of(0.5, number(0.5, 1), "how sure the votes must be; above .5 leaves ties out", ROWS)
    max_per_prompt: int = _of(0, whole(0), "at most so many pairs a prompt; 0 for all", ROWS)
    balance: str = _of("none", one_of("none", "domain", "length"), "as many train rows of each class", ROWS)
    dedupe: str = _of("none", one_of("none", "exact", "near"), "the same texts once; near: one prompt a cluster", ROWS)
    tokenizer: str = _of("", name(), "a base whose tokens are counted; characters without one", TEXT)
    max_prompt: int = _of(0, whole(0), "longest prompt, in tokens or characters; 0 for any", TEXT)
    max_answer: int = _of(0, whole(0), "longest answer, in tokens or characters; 0 for any", TEXT)
    languages: tuple[str, ...] = _of((), names(), "prompts in these languages alone, such as en de", TEXT)
    drop: tuple[str, ...] = _of((), some_of(*FILTERS), "rows whose texts hold such things", TEXT)

    @classmethod
    def parse(cls, data: Any) -> Recipe:
        """A checked recipe from JSON or YAML values; BadInput names the field."""
        if not isinstance(data, dict):
            raise BadInput("recipe: expected an object.", where="recipe")
        known = {f.name: f for f in fields(cls)}
        for key in data:
            if key not in known:
                where = f"recipe.{key}"
                raise BadInput(f"{where}: unknown; known are {', '.join(sorted(known))}.", where=where)
        values = {}
        for key, value in data.items():
            try:
                values[key] = known[key].metadata["check"].read(value)
            except ValueError as expected:
                raise BadInput(f"recipe.{key}: expected {expected}.", where=f"recipe.{key}") from None
        return cls(**values)

    @classmethod
    def from_form(cls, post: Any) -> Recipe:
        """A checked recipe from a form's fields (a QueryDict); a field left empty has its default."""
        data: dict[str, Any] = {}
        for f in fields(cls):
            check: Check = f.metadata["check"]
            given = post.getlist(f.name) if check.many and check.choices else post.get(f.name, "")
            if given:
                data[f.name] = given if isinstance(given, list) else check.from_text(given)
        return cls.parse(data)

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults, in JSON's types; the digest is made from it."""
        default = Recipe()
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(default, f.name)]
        return {n: list(v) if isinstance(v := getattr(self, n), tuple) else v for n in changed}


def schema() -> list[dict[str, Any]]:
    """Every field with what a form or a table needs: name, group, help, default, choices, many."""
    return [
        {
            "name": f.name, "group": f.metadata["group"], "help": f.metadata["help"],
            "default": getattr(Recipe(), f.name), "choices": f.metadata["check"].choices,
            "many": f.metadata["check"].many,
        }
        for f in fields(Recipe)
    ]  # fmt: skip
