"""Two text columns, a prompt, and one or several columns that say which is better, one an annotator.

`--map prompt=instruction --map input=input --map a=response1 --map b=response2 --map choice=ann1,ann2,ann3`
A choice is a or b, A or B, 1 or 2, left or right, model_a or model_b, the column's name; 0 or tie; both_bad.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .base import BadLine, NotAPair, ParsedPair, Source, conversation, pair, rows
from .options import Options

FIRST = {"a", "1", "left", "model_a", "response1", "response_a", "chosen", "answer1"}
SECOND = {"b", "2", "right", "model_b", "response2", "response_b", "rejected", "answer2"}
TIES = {"tie", "0", "equal", "same", "draw", "c"}
BAD = {"both_bad", "bothbad", "neither", "both bad", "tie (bothbad)"}


def read_columns(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """A ParsedPair for each annotator's choice of each row, or a BadLine."""
    options = options or Options()
    choices = options.column("choice").split(",")
    for found in rows(source):
        if isinstance(found, BadLine):
            yield found
            continue
        line, raw = found
        row = options.renamed(raw)
        said = False
        for column in choices:
            value = raw.get(column, row.get(column))
            if value is None or value == "":
                continue
            said = True
            who = options.annotator(raw) or (column if len(choices) > 1 else "")
            yield judged(line, asked(row), row.get("a"), row.get("b"), value, who, names(options))
        if not said:
            yield BadLine(line, f"no choice in {' or '.join(choices)}")


def names(options: Options) -> tuple[str, str]:
    """What the two text columns are called in the file: a choice may use those words."""
    return options.column("a"), options.column("b")


def asked(row: dict[str, Any]) -> Any:
    """The prompt's messages: `prompt`, then `input` on lines of its own, after `system`."""
    prompt = conversation(row.get("prompt"))
    if isinstance(prompt, list) and row.get("input") and isinstance(row["input"], str) and isinstance(prompt[-1], dict):
        last = {**prompt[-1], "content": f"{prompt[-1].get('content')}\n\n{row['input']}"}
        prompt = [*prompt[:-1], last]
    if row.get("system") and isinstance(prompt, list):
        prompt = [{"role": "system", "content": row["system"]}, *prompt]
    return prompt


def judged(
    line: int, messages: Any, a: Any, b: Any, value: Any, annotator: str, words: tuple[str, str]
) -> ParsedPair | BadLine:
    """The pair with the verdict that `value` means."""
    try:
        return pair(line, messages, a, b, verdict_of(value, words), annotator)
    except NotAPair as reason:
        return BadLine(line, str(reason))


def verdict_of(value: Any, words: tuple[str, str] = ("a", "b")) -> str:
    """first, second, tie or both_bad. Raises NotAPair for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text == words[0]:
        return "first"
    if text == words[1]:
        return "second"
    for verdict, known in (("first", FIRST), ("second", SECOND), ("tie", TIES), ("both_bad", BAD)):
        if text.lower() in known:
            return verdict
    raise NotAPair("the choice is none of a, b, tie, both_bad")
