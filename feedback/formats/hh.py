"""Anthropic's HH transcripts: {"chosen": TEXT, "rejected": TEXT}, plain or gzipped JSON lines.

A transcript is "\\n\\nHuman: ...\\n\\nAssistant: ..." with as many turns as it has. Two transcripts make a
pair when all but their last assistant turn is the same; that shared part is the prompt. Neighbouring
turns of one speaker are joined, since chat templates expect speakers to alternate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from feedback.clean_text import BadText, check_messages, clean

from .base import LONGEST_LINE, BadLine, NotAPair, ParsedPair, Source, json_objects

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLE = {"Human": "user", "Assistant": "assistant"}


def read_hh(source: Source, longest: int = LONGEST_LINE) -> Iterator[ParsedPair | BadLine]:
    """A ParsedPair or a BadLine for each line that is not blank, in order, in bounded memory."""
    for found in json_objects(source, longest):
        if isinstance(found, BadLine):
            yield found
            continue
        line, row = found
        try:
            yield ParsedPair(line, *_pair(row))
        except NotAPair as reason:
            yield BadLine(line, str(reason))
        except BadText as bad:
            yield BadLine(line, f"{bad.path.split('[')[0]}: {bad.reason}")


def _pair(row: dict[str, Any]) -> tuple[list[dict[str, str]], str, str]:
    (prompt, chosen), (other, rejected) = (_transcript(row, field) for field in ("chosen", "rejected"))
    if prompt != other:
        raise NotAPair("the transcripts do not share a prompt")
    if not chosen or not rejected:
        raise NotAPair("a response is empty")
    if chosen == rejected:
        raise NotAPair("the responses are identical")
    return check_messages(prompt, "prompt"), chosen, rejected


def _transcript(row: dict[str, Any], field: str) -> tuple[list[dict[str, str]], str]:
    """(messages of the prompt, final answer) of one side."""
    if field not in row:
        raise NotAPair(f"the field {field} is missing")
    if not isinstance(row[field], str):
        raise NotAPair(f"the field {field} is not a string")
    text = clean(row[field], field)
    if not text.strip():
        raise NotAPair("a response is empty")
    before, *turns = TURN.split(text if text.startswith("\n\n") else "\n\n" + text.lstrip())
    if before.strip() or not turns:
        raise NotAPair(f"the field {field} is not a Human/Assistant transcript")
    *earlier, (speaker, answer) = zip(turns[::2], turns[1::2], strict=True)
    if speaker != "Assistant":
        raise NotAPair(f"the field {field} does not end with an Assistant turn")
    return _joined(earlier), answer.strip()


def _joined(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    for speaker, text in turns:
        role, content = ROLE[speaker], text.strip()
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] = f"{messages[-1]['content']}\n\n{content}".strip()
        else:
            messages.append({"role": role, "content": content})
    return messages
