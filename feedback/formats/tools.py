"""Exports of other annotating tools: Argilla's records, Label Studio's JSON, Potato's annotated instances.

Each names prompt, texts and answers its own way; `--map prompt=... a=... b=... choice=...` says which fields,
where they are not the usual ones. Answers that were not submitted are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .base import BadLine, ParsedPair, Source, rows
from .columns import asked, judged
from .options import Options

Said = tuple[Any, str]  # the value, who said it
USUAL_A, USUAL_B = ("a", "response1", "response_a", "answer1"), ("b", "response2", "response_b", "answer2")
USUAL_PROMPT = ("prompt", "instruction", "question", "context")


def _read(
    source: Source, options: Options, fields: Callable[[dict[str, Any]], Any],
    said: Callable[[dict[str, Any], Options], list[Said]],
) -> Iterator[ParsedPair | BadLine]:  # fmt: skip
    for found in rows(source):
        if isinstance(found, BadLine):
            yield found
            continue
        line, row = found
        texts = fields(row)
        if not isinstance(texts, dict):
            yield BadLine(line, "it is no record of this tool")
            continue
        a, b = _name(texts, options, "a", USUAL_A), _name(texts, options, "b", USUAL_B)
        prompt = texts | {"prompt": texts.get(_name(texts, options, "prompt", USUAL_PROMPT))}
        answers = said(row, options)
        for value, who in answers:
            yield judged(line, asked(prompt), texts.get(a), texts.get(b), value, who, (a, b))
        if not answers:
            yield BadLine(line, "nobody submitted an answer")


def _name(texts: dict[str, Any], options: Options, ours: str, usual: tuple[str, ...]) -> str:
    return options.names.get(ours) or next((name for name in usual if name in texts), usual[0])


def read_argilla(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """Records with {"fields": {...}, "responses": {question: [{"value", "user_id", "status"?}]}}."""
    return _read(source, options or Options(), lambda row: row.get("fields"), _argilla)


def _argilla(row: dict[str, Any], options: Options) -> list[Said]:
    questions = row.get("responses")
    if not isinstance(questions, dict) or not questions:
        return []
    wanted = options.names.get("choice") or next(iter(questions))
    return [
        (_ranked(answer.get("value")), str(answer.get("user_id") or "")[:150])
        for answer in questions.get(wanted) or []
        if isinstance(answer, dict) and answer.get("status", "submitted") == "submitted" and answer.get("value")
    ]


def _ranked(value: Any) -> Any:
    """A ranking of two, [{"value", "rank"}], as the name of the better one or tie."""
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(v, dict) for v in value):
        return value
    one, other = sorted(value, key=lambda v: v.get("rank") or 0)
    return "tie" if one.get("rank") == other.get("rank") else one.get("value")


def read_label_studio(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """Tasks with {"data": {...}, "annotations": [{"completed_by", "was_cancelled", "result": [...]}]}."""
    return _read(source, options or Options(), lambda row: row.get("data"), _label_studio)


def _label_studio(row: dict[str, Any], options: Options) -> list[Said]:
    found: list[Said] = []
    for annotation in row.get("annotations") or []:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        who = annotation.get("completed_by")
        who = who.get("email") or who.get("id") if isinstance(who, dict) else who
        for result in annotation.get("result") or []:
            value = result.get("value") if isinstance(result, dict) else None
            if not isinstance(value, dict) or options.names.get("choice") not in (None, result.get("from_name")):
                continue
            picked = value.get("selected") or (value.get("choices") or [None])[0]
            if picked is not None:
                found.append((picked, "" if who is None else str(who)[:150]))
                break
    return found


def read_potato(source: Source, options: Options | None = None) -> Iterator[ParsedPair | BadLine]:
    """Instances {"user_id", "text" or "displayed_text": [a, b], "prompt"?, "label_annotations": {scheme: {}}}."""
    return _read(source, options or Options(), _potato_texts, _potato)


def _potato_texts(row: dict[str, Any]) -> Any:
    if "label_annotations" not in row:
        return None
    shown = row.get("text", row.get("displayed_text"))
    both = dict(zip(("a", "b"), shown, strict=False)) if isinstance(shown, list) else {}
    return {k: v for k, v in row.items() if isinstance(v, str)} | both


def _potato(row: dict[str, Any], options: Options) -> list[Said]:
    schemes = row.get("label_annotations")
    if not isinstance(schemes, dict) or not schemes:
        return []
    labels = schemes.get(options.names.get("choice") or next(iter(schemes)))
    picked = [name for name, value in labels.items() if value] if isinstance(labels, dict) else []
    return [(picked[0], str(row.get("user_id") or "")[:150])] if len(picked) == 1 else []
