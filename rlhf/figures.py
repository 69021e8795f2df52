"""What an evaluator says about a policy: `{"figures": {name: {"value", "se", "n"}}}` (stdlib only)."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from rlhf.spec import SpecError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:@-]{0,79}")
MOST = 500
Figures = dict[str, dict[str, float | int | None]]


def parse_figures(data: Any) -> Figures:
    """`value` is a finite number; `se` (standard error) and `n` (cases) may be missing. SpecError names the place."""
    if not isinstance(data, dict) or not isinstance(data.get("figures"), dict):
        raise SpecError("figures", 'expected {"figures": {name: {"value", "se", "n"}}}')
    found: dict[str, Any] = data["figures"]
    if not 1 <= len(found) <= MOST:
        raise SpecError("figures", f"expected 1 to {MOST} figures, found {len(found)}")
    return {_name(name): _figure(f"figures.{name}", figure) for name, figure in found.items()}


def read_figures(path: Path) -> Figures:
    """The figures of a file. SpecError when it is missing, is not JSON, or says something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as missing:
        raise SpecError(path.name, "the evaluator wrote no such file") from missing
    except ValueError as wrong:
        raise SpecError(path.name, f"is not JSON ({wrong})") from wrong
    return parse_figures(data)


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise SpecError("figures", f"{name!r} is no name: letters, digits and _./:@- only, at most 80")
    return name


def _figure(where: str, figure: Any) -> dict[str, float | int | None]:
    if not isinstance(figure, dict):
        raise SpecError(where, 'expected {"value", "se", "n"}')
    unknown = set(figure) - {"value", "se", "n"}
    if unknown:
        raise SpecError(f"{where}.{sorted(unknown)[0]}", "is not known here (known: n, se, value)")
    value, se, n = _number(where, figure, "value"), _number(where, figure, "se"), _number(where, figure, "n")
    if value is None:
        raise SpecError(f"{where}.value", "is missing")
    if se is not None and se < 0:
        raise SpecError(f"{where}.se", "must not be negative")
    if n is not None and (n < 0 or n != int(n)):
        raise SpecError(f"{where}.n", "must be a whole number")
    return {"value": value, "se": se, "n": None if n is None else int(n)}


def _number(where: str, figure: dict[str, Any], key: str) -> float | None:
    value = figure.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SpecError(f"{where}.{key}", f"must be a finite number, not {value!r}")
    return float(value)
