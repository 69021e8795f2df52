"""The figure "how much better per human label", as geometry for an SVG template: no script, no style attribute.

Works on plain data (the JSON of `worth.points` and of `bench/circle.py`), so that a page and a picture file share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT = 720.0, 360.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 700.0, 44.0, 250.0
STRIP = 272.0  # top of the strip that says what the judgments were
STRIP_HEIGHT = 16.0
KINDS = ("train", "control", "gold", "gate", "measuring")
LOW, HIGH = 0.2, 1.0


def figure(
    points: Sequence[dict[str, Any]],
    *,
    random: Sequence[Sequence[float]] = (),
    truth: Sequence[float] = (),
    simulated: bool = False,
) -> dict[str, Any]:
    """points: as worth.Point.as_json(); random: (labels, win rate, standard error) of random asking at equal budget.

    truth: after each point the win rate of what is live by the hidden reward, where people are simulated; `random` is
    measured so too, and only the two may be compared (a stopped mean of votes is biased upwards).
    """
    most = max([1, *(p["labels"] for p in points), *(int(r[0]) for r in random)])
    top = _nice(most)
    marks = [_mark(p, top) for p in points if p["y"] is not None]
    told = [f"Round {m['round']} refused: {m['reason']}" for m in marks if m["reason"]]
    return {
        "width": WIDTH, "height": HEIGHT + 14 * len(told), "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM,
        "reasons": [{"y": 362 + 14 * n, "text": text} for n, text in enumerate(told)],
        "title": "How much better per human label" + (" (simulated people)" if simulated else ""),
        "marks": marks, "path": _stairs(points, top), "half": _y(0.5), "strip": _strip(points, top),
        "strip_y": STRIP, "strip_height": STRIP_HEIGHT, "legend": _legend(points),
        "random": " ".join(f"{_x(n, top)},{_y(v)}" for n, v, _ in random),
        "random_band": _band(random, top), "truth": _steps(points, truth, top),
        "x_ticks": [{"x": _x(top * k / 4, top), "text": f"{top * k / 4:.0f}"} for k in range(5)],
        "y_ticks": [{"y": _y(v / 100), "text": f"{v}%"} for v in (20, 40, 60, 80, 100)],
    }  # fmt: skip


def _nice(most: int) -> int:
    """A round number of labels at which the axis ends, divisible by four."""
    unit = 10 ** max(1, math.floor(math.log10(most))) / 5
    return max(4, int(4 * math.ceil(most / unit / 4) * unit)) if most > 20 else 20


def _x(labels: float, top: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * labels / top, 1)


def _y(value: float) -> float:
    inside = max(LOW, min(HIGH, value))
    return round(BOTTOM - (BOTTOM - TOP) * (inside - LOW) / (HIGH - LOW), 1)


def _mark(p: dict[str, Any], top: int) -> dict[str, Any]:
    x, y = _x(p["labels"], top), _y(p["y"])
    return {
        "x": x, "y": y, "low": _y(p["low"]), "high": _y(p["high"]), "promoted": p["status"] == "promoted",
        "round": p["round"], "reason": p["reason"],
        "share": f"{p['y']:.0%}", "interval": f"{p['low']:.0%} to {p['high']:.0%}", "votes": p["votes"],
    }  # fmt: skip


def _stairs(points: Sequence[dict[str, Any]], top: int) -> str:
    """What is live: from 50% at no label up to each promoted round; a refused one leaves it where it was."""
    where, path = 0.5, [f"{_x(0, top)},{_y(0.5)}"]
    for p in points:
        x = _x(p["labels"], top)
        path.append(f"{x},{_y(where)}")
        if p["status"] == "promoted" and p["y"] is not None:
            where = p["y"]
            path.append(f"{x},{_y(where)}")
    return " ".join(path)


def _steps(points: Sequence[dict[str, Any]], truth: Sequence[float], top: int) -> str:
    """50% up to the first point, then what was live after each."""
    if not truth:
        return ""
    where, path = 0.5, [f"{_x(0, top)},{_y(0.5)}"]
    for p, share in zip(points, truth, strict=True):
        path += [f"{_x(p['labels'], top)},{_y(where)}", f"{_x(p['labels'], top)},{_y(share)}"]
        where = share
    return " ".join(path)


def _strip(points: Sequence[dict[str, Any]], top: int) -> list[dict[str, Any]]:
    """Between two rounds, what the judgments in between were, in proportion."""
    cells, before = [], dict.fromkeys(KINDS, 0)
    for p in points:
        at = sum(before.values())
        for kind in KINDS:
            count = p["spent"].get(kind, 0) - before[kind]
            if count > 0:
                x = _x(at, top)
                width = round(_x(at + count, top) - x, 1)
                cells.append({"kind": kind, "x": x, "width": width, "count": count, "round": p["round"]})
                at += count
        before = {kind: max(before[kind], p["spent"].get(kind, 0)) for kind in KINDS}
    return cells


def _legend(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    last = points[-1]["spent"] if points else {}
    shown = [kind for kind in KINDS if last.get(kind)]
    return [{"kind": kind, "x": LEFT + 130 * n, "text": f"{kind} {last[kind]}"} for n, kind in enumerate(shown)]


def _band(random: Sequence[Sequence[float]], top: int) -> str:
    """Two standard errors around the mean of random asking."""
    there = [f"{_x(n, top)},{_y(v + 2 * e)}" for n, v, e in random]
    return " ".join([*there, *reversed([f"{_x(n, top)},{_y(v - 2 * e)}" for n, v, e in random])])
