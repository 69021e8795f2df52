"""What templates of both halves use: navigation by role, model text as safe HTML."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from ..kinds import SLOTS, kind_of
from ..kinds.comparison import STRENGTHS
from ..models import Judgment, Queue
from ..quality import answer_words
from ..rendering import render_markdown
from ..rubrics import Example, parse

register = template.Library()

ENTRIES = (  # words, url name, for engineers only
    ("Label", "feedback:queues", False),
    ("Teach", "rlhf:teach", False),
    ("Loops", "rlhf:loops", True),
    ("Runs", "rlhf:runs", True),
    ("Datasets", "rlhf:datasets", True),
    ("Models", "rlhf:policies", True),
)
CONSOLE = ("Console", "feedback:console")  # for those who look after a queue


@register.simple_tag(takes_context=True)
def nav_links(context: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries that this person may open, each with its words, address and whether one is inside it."""
    request = context.get("request")
    user = getattr(request, "user", None)
    if request is None or user is None or not user.is_authenticated:
        return []
    links = [(words, _address(name)) for words, name, staff in ENTRIES if user.is_engineer or not staff]
    if user.is_engineer or user.memberships.filter(role__in=("reviewer", "manager")).exists():
        links.insert(1, (CONSOLE[0], _address(CONSOLE[1])))
    return [{"words": w, "url": u, "here": request.path.startswith(u)} for w, u in links if u]


def _address(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:  # a half that is not installed has no entry
        return None


@register.simple_tag
def demo_workspace() -> bool:
    return bool(settings.PLUMBLINE_DEMO)


@register.filter
def markdown(text: str) -> SafeString:
    return render_markdown(text)


@register.filter
def percent(share: float | None) -> str:
    """42% from .42; a dash where there is no figure."""
    return "–" if share is None else f"{share:.0%}"


@register.filter
def interval(found: dict[str, Any] | None) -> str:
    """ "80% (72 to 87, n 120)"; a dash where there is no figure."""
    if not found or found.get("value") is None:
        return "–"
    low, high = (f"{100 * found[name]:.0f}" for name in ("low", "high"))
    return f"{found['value']:.0%} ({low} to {high}, n {found['n']})"


@register.filter
def money(amount: Any) -> str:
    return "–" if amount is None else f"{amount:,.2f}"


@register.filter
def field(found: Any, name: str) -> Any:
    return getattr(found, name, "")


@register.filter
def split(text: str) -> list[str]:
    return text.split()


@register.filter
def pairs(text: str) -> list[list[str]]:
    """ "a=One,b=Two" as pairs, for a row of like fields in a template."""
    return [part.split("=") for part in text.split(",")]


@register.filter
def as_json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


@register.filter
def answer_text(answer: dict[str, Any]) -> str:
    """A stored answer by position, in words: "A better"."""
    return choice_words(answer_words(answer))


@register.filter
def choice_words(word: str) -> str:
    if word in ("tie", "both_bad"):
        return {"tie": "Tie", "both_bad": "Both bad"}[word]
    return f"{SLOTS[int(word)]} better" if word.isdecimal() and int(word) < len(SLOTS) else word


@register.filter
def get(found: dict[Any, Any], key: Any) -> Any:
    return found.get(key)


@register.filter
def said_words(judgment: Judgment) -> str:
    """What the person answered, by the side they saw: "B much better"."""
    words = str(kind_of(judgment.queue.kind).words(judgment.answer, judgment.evidence.get("order") or []))
    return words.replace("better", str(STRENGTHS[judgment.strength])) if judgment.strength in (2, 3) else words


@register.filter
def ago(moment: datetime) -> str:
    """ "just now", or "4 minutes ago" in one unit."""
    if (timezone.now() - moment).total_seconds() < 60:
        return "just now"
    return f"{timesince(moment, depth=1)} ago"


@register.filter
def turn_text(turn: dict[str, str]) -> str:
    return turn["content"]


@register.filter
def expected(example: Example, queue: Queue) -> str:
    """What the guidelines want for an example, in words; its answers stand in their order, A first."""
    order = list(range(len(example.responses)))
    kind = kind_of(queue.kind)
    return str(kind.words(kind.answer(example.answer, order, parse(queue.rubric)), order))
