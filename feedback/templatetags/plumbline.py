"""What templates of both halves use: navigation by role, model text as safe HTML."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from ..kinds import SLOTS
from ..models import Judgment
from ..rendering import render_markdown

register = template.Library()

ENTRIES = (  # words, url name, for engineers only
    ("Label", "feedback:queues", False),
    ("Teach", "rlhf:teach", False),
    ("Loops", "rlhf:loops", True),
    ("Runs", "rlhf:runs", True),
    ("Datasets", "rlhf:datasets", True),
    ("Models", "rlhf:policies", True),
)


@register.simple_tag(takes_context=True)
def nav_links(context: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries that this person may open, each with its words, address and whether one is inside it."""
    request = context.get("request")
    user = getattr(request, "user", None)
    if request is None or user is None or not user.is_authenticated:
        return []
    links = [(words, _address(name)) for words, name, staff in ENTRIES if user.is_engineer or not staff]
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
def said_words(judgment: Judgment) -> str:
    """What the person answered, by the side they saw: "B much better"."""
    choice = judgment.answer.get("choice")
    if choice in ("tie", "both_bad"):
        return {"tie": "Tie", "both_bad": "Both bad"}[choice]
    order = judgment.evidence.get("order") or [0, 1]
    slot = SLOTS[order.index(choice)] if choice in order else "?"
    return f"{slot} {'much ' if judgment.strength == 3 else ''}better"


@register.filter
def ago(moment: datetime) -> str:
    """ "just now", or "4 minutes ago" in one unit."""
    if (timezone.now() - moment).total_seconds() < 60:
        return "just now"
    return f"{timesince(moment, depth=1)} ago"
