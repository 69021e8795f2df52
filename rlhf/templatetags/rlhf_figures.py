"""Figures in words: shares without the leading nought, intervals, durations, short digests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template

register = template.Library()


@register.filter
def share(value: Any) -> str:
    """.64; a dash where there is no figure, never a nought that nobody measured."""
    if not isinstance(value, int | float) or value != value:
        return "–"
    return f"{value:.2f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.2f}"


@register.filter
def figure(value: Any) -> str:
    """A number of any size in three or four digits: 0.0001, 0.693, 12.4, 1,234."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        return "–" if value is None or isinstance(value, float) else str(value)
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@register.filter
def decimals(value: Any) -> str:
    """.025, .0005: a small probability with two digits that count."""
    if not isinstance(value, int | float) or value != value:
        return "–"
    return "0" if value == 0 else f"{value:.2g}".replace("0.", ".", 1)


@register.filter
def signed(value: Any) -> str:
    """+.21 or -.08, or a dash."""
    if not isinstance(value, int | float) or value != value:
        return "–"
    return f"{value:+.2f}".replace("0.", ".", 1).replace("-", "\u2212")


@register.filter
def percent(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, int | float) and value == value else "–"


@register.filter
def estimate(figure: Any) -> str:
    """.64 (.58 to .70, n 412) from {"value", "low", "high", "n"}, a list of the same, or a bare number."""
    value, low, high, n = estimate_parts(figure)
    if value is None:
        return "–"
    if low is None:
        return share(value)
    return f"{share(value)} ({share(low)} to {share(high)}{f', n {n}' if n is not None else ''})"


def estimate_parts(figure: Any) -> tuple[Any, Any, Any, Any]:
    """(value, low, high, n) of whatever shape a figure was stored in; None where it was not."""
    if isinstance(figure, dict):
        return figure.get("value"), figure.get("low"), figure.get("high"), figure.get("n")
    if isinstance(figure, list | tuple) and len(figure) >= 3:
        return figure[0], figure[1], figure[2], figure[3] if len(figure) > 3 else None
    return figure, None, None, None


@register.filter
def short(digest: str) -> str:
    """The first twelve characters of a digest."""
    return (digest or "")[:12]


@register.filter
def duration(value: Any) -> str:
    """3 s, 2 min 5 s, 1 h 4 min, from seconds or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float):
        return "–"
    seconds = max(0, round(value))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes < 10 and seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@register.filter
def words(name: str) -> str:
    """A stored name as words: not_counting -> not counting."""
    return name.replace("_", " ")


@register.filter
def entry(mapping: Any, key: str) -> Any:
    """A key that a template cannot spell."""
    return mapping.get(key) if isinstance(mapping, dict) else None
