"""TRL's preference format: chosen and rejected, with the prompt of its own or shared by both, texts or messages.

Our own exports carry `votes` and `probability`: such a row stands for that many judgments, with the fewest
ties that give the same share, so that what is exported, imported and built again is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .base import BadLine, NotAPair, ParsedPair, Source, conversation, pair, rows
from .options import Options

MOST_VOTES = 10_000


def read_trl(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """A ParsedPair for each judgment of each row, or a BadLine."""
    options = options or Options()
    for found in rows(source):
        if isinstance(found, BadLine):
            yield found
            continue
        line, row = found[0], options.renamed(found[1])
        try:
            messages, chosen, rejected = _parts(row)
            verdicts = _verdicts(row)
        except NotAPair as reason:
            yield BadLine(line, str(reason))
            continue
        for verdict in verdicts:
            one = pair(line, messages, chosen, rejected, verdict, options.annotator(row))
            yield one
            if isinstance(one, BadLine):
                break


def _parts(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    for name in ("chosen", "rejected"):
        if row.get(name) is None:
            raise NotAPair(f"the field {name} is missing")
    chosen, rejected = row["chosen"], row["rejected"]
    if row.get("prompt") is not None:
        return conversation(row["prompt"]), _answer(chosen), _answer(rejected)
    if not isinstance(chosen, list) or not isinstance(rejected, list) or len(chosen) < 2:
        raise NotAPair("there is no prompt, neither apart nor shared")
    if chosen[:-1] != rejected[:-1]:
        raise NotAPair("the two sides do not share a prompt")
    return chosen[:-1], _answer(chosen[-1:]), _answer(rejected[-1:])


def _answer(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1 or not isinstance(value[0], dict) or value[0].get("role") != "assistant":
        raise NotAPair("an answer is not one assistant turn")
    return value[0].get("content")


def _verdicts(row: dict[str, Any]) -> list[str]:
    """One vote for chosen, or as many votes as `votes` and `probability` say."""
    votes, probability = row.get("votes"), row.get("probability")
    if votes is None and probability is None:
        return ["tie" if row.get("tie") is True else "first"]
    try:
        n, points = int(votes or 1), round(2 * float(probability if probability is not None else 1) * int(votes or 1))
    except (TypeError, ValueError):
        raise NotAPair("votes or probability is not a number") from None
    if not 1 <= n <= MOST_VOTES or not 0 <= points <= 2 * n:
        raise NotAPair("votes or probability is out of range")
    ties = points % 2
    won = (points - ties) // 2
    return ["first"] * won + ["tie"] * ties + ["second"] * (n - won - ties)
