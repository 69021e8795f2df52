"""Geometry of the small SVG figures that pages carry inline: no script, no style attribute needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Bar(NamedTuple):
    """A bar from the middle line of a 200 wide box, with the whisker of its interval."""

    x: float
    width: float
    low: float
    high: float


def bar(value: float, low: float, high: float, scale: float) -> Bar:
    """`scale` is the value at the edge of the box; what lies beyond is cut there."""

    def at(v: float) -> float:
        return round(100 + 100 * max(-1.0, min(1.0, v / scale)), 1)

    left, right = sorted((at(0.0), at(value)))
    return Bar(left, round(right - left, 1), at(low), at(high))


class Frame(NamedTuple):
    """Where a chart's data lie: (x0, y0) top left to (x1, y1) bottom right, and the range of values."""

    x0: float
    y0: float
    x1: float
    y1: float
    low: float
    high: float

    def y(self, value: float) -> float:
        inside = max(self.low, min(self.high, value))
        return round(self.y1 - (self.y1 - self.y0) * (inside - self.low) / ((self.high - self.low) or 1), 1)

    def x(self, n: float, total: int) -> float:
        return round(self.x0 + (self.x1 - self.x0) * n / max(total, 1), 1)


def line(frame: Frame, values: Sequence[float | None], total: int = 0) -> str:
    """Points of a polyline: value n stands at n+1 of `total` steps; None leaves a gap at the start."""
    total = total or len(values)
    return " ".join(f"{frame.x(n + 1, total)},{frame.y(v)}" for n, v in enumerate(values) if v is not None)


def band(frame: Frame, steps: Sequence[int], low: Sequence[float], high: Sequence[float], total: int) -> str:
    """Points of the polygon between two curves known at `steps` (1 is the first vote)."""
    there = [f"{frame.x(n, total)},{frame.y(v)}" for n, v in zip(steps, high, strict=True)]
    back = [f"{frame.x(n, total)},{frame.y(v)}" for n, v in zip(steps, low, strict=True)]
    return " ".join([*there, *reversed(back)])
