"""Writing what a run directory's `inputs/` hold: links to models and artifacts, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import Policy, Response

from . import artifacts, bases


def link(inputs: Path, name: str, target: Path) -> None:
    place = inputs / name
    if place.is_symlink() or place.exists():
        place.unlink()
    place.symlink_to(target.resolve())


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def lay_out_policy(policy: Policy, inputs: Path) -> None:
    """base, and where the policy has them: its adapter chain and the head that chooses for it."""
    link(inputs, "base", bases.path_of(policy.base))
    if policy.adapter:
        link(inputs, "adapter", artifacts.path_of(policy.adapter))
    if policy.head:
        link(inputs, "head", artifacts.path_of(policy.head))


def lay_out_cache(inputs: Path) -> None:
    """Features of a text never change for the same base and layer, so all runs of a machine share them."""
    cache = Path(settings.PLUMBLINE_HOME) / "cache" / "features"
    cache.mkdir(parents=True, exist_ok=True)
    link(inputs, "cache", cache)


def texts(responses: Iterable[Response]) -> Iterator[dict[str, Any]]:
    for r in responses:
        yield {"id": r.key, "messages": r.prompt.messages, "content": r.content}
