"""Files of prompts: JSON lines, checked whole before the first row is stored.

A line is what `POST /prompts/` takes ({"messages", "external_id"?, "group"?, "split"?, "metadata"?}), or the
short form {"prompt": "text", ...} of a single user turn. Further fields of a line go into its metadata. With
"responses": [{"policy", "content", "draw"?}, ...] the line also becomes an item of the queue; "gold" (its known
answer), "language", "skill" and "priority" are the item's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from . import gold, intake, pairing
from .errors import BadInput, Conflict
from .formats.base import BadLine, json_objects
from .models import Policy, Prompt, Queue, Response, User

BATCH = 200  # lines a transaction, each up to a prompt, nine responses, an item and its seats
ITEM = ("gold", "language", "skill", "priority")
KNOWN = ("messages", "external_id", "group", "split", "metadata", "responses", *ITEM)
Row = dict[str, Any]


@dataclass
class Imported:
    prompts: int = 0
    existing: int = 0
    items: int = 0
    gate: int = 0  # lines whose responses stay out of the queue: gate prompts are read by decisions only


class BadFile(BadInput):
    """Some lines are wrong; `lines` says which and why, and nothing was stored."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(f"{len(lines)} bad line(s); nothing was imported.", lines=lines)
        self.lines = lines


def import_prompts(
    *, path: Path, queue: Queue, actor: User | None = None, progress: Callable[[int], object] = lambda done: None
) -> Imported:
    """Bring a file of prompts in for `queue`: its slug stands in their metadata. `progress` hears lines stored.

    Raises BadFile naming every bad line. A second import of the same file creates nothing.
    """
    numbered = list(_read(path, queue))
    _check_all(numbered, queue)
    done = Imported()
    for start in range(0, len(numbered), BATCH):
        _store([row for _, row in numbered[start : start + BATCH]], queue, done, actor)
        progress(min(start + BATCH, len(numbered)))
    return done


def _read(path: Path, queue: Queue) -> Iterator[tuple[int, Row]]:
    bad = []
    try:
        for found in json_objects(path):
            if isinstance(found, BadLine):
                bad.append(f"line {found.line}: {found.reason}")
            else:
                yield found[0], _normal(found[1], queue)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
    if bad:
        raise BadFile(bad)


def _normal(row: Row, queue: Queue) -> Row:
    """The long form of a line."""
    row = dict(row)
    if "messages" not in row and isinstance(row.get("prompt"), str):
        row["messages"] = [{"role": "user", "content": row.pop("prompt")}]
    extra = {name: row.pop(name) for name in list(row) if name not in KNOWN}
    metadata = row.get("metadata", {})
    if isinstance(metadata, dict):
        row["metadata"] = {"queue": queue.slug, **extra, **metadata}
    return row


def _check_all(numbered: list[tuple[int, Row]], queue: Queue) -> None:
    """Everything that could be refused later is found now, by line; nothing is written."""
    bad, parsed = [], []
    for line, row in numbered:
        try:
            parsed.append(intake.parse_prompt(row, "it"))
            _check_responses(row.get("responses", []))
            _check_item(row, queue)
        except BadInput as error:
            bad.append(f"line {line}: {error.message}")
    if bad:
        raise BadFile(bad)
    try:
        intake.settle_splits(parsed)
    except Conflict as error:
        index = int(re.findall(r"\d+", error.details["where"])[0])
        raise BadFile([f"line {numbered[index][0]}: {error.message.partition(': ')[2]}"]) from error


def _check_responses(responses: Any) -> None:
    if not isinstance(responses, list) or len(responses) not in (0, 2):
        raise BadInput("responses: expected a list of two.")
    for n, response in enumerate(responses):
        texts = [response.get(name) for name in ("content", "policy")] if isinstance(response, dict) else [None]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise BadInput(f"responses[{n}]: expected a policy's slug and content that is not empty.")
    if len({response["content"].strip() for response in responses}) < len(responses):
        raise BadInput("responses: the answers do not differ.")


def _check_item(row: Row, queue: Queue) -> None:
    if row.get("gold") is not None:
        gold.check(queue.kind, row["gold"], len(row.get("responses", [])), "it")
    for name, limit in (("language", 20), ("skill", 40)):
        if not isinstance(row.get(name, ""), str) or len(row.get(name, "")) > limit:
            raise BadInput(f"{name}: expected a word of up to {limit} characters.")
    priority = row.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool) or not -(2**31) <= priority < 2**31:
        raise BadInput("priority: expected a whole number.")


def _store(rows: list[Row], queue: Queue, done: Imported, actor: User | None) -> None:
    with transaction.atomic():
        intook = intake.add_prompts(rows=rows, actor=actor)
        done.prompts += intook.created
        done.existing += intook.existing
        asked = [(key, row) for key, row in zip(intook.ids, rows, strict=True) if row.get("responses")]
        gate = set(Prompt.objects.filter(key__in=intook.ids, split="gate").values_list("key", flat=True))
        open_ = [(key, row) for key, row in asked if key not in gate]
        done.gate += len(asked) - len(open_)
        done.items += _ask(open_, queue, actor)


def _ask(asked: list[tuple[str, Row]], queue: Queue, actor: User | None) -> int:
    """Put prompts that came with their responses into the queue; policies not known yet are external."""
    for slug in sorted({response["policy"] for _, row in asked for response in row["responses"]}):
        if not Policy.objects.filter(slug=slug).exists():
            intake.add_policy(slug=slug, kind="external", actor=actor)
    flat = [{**response, "prompt": key} for key, row in asked for response in row["responses"]]
    keys = iter(intake.add_responses(rows=flat, actor=actor).ids)
    pairs = [(prompt, [next(keys) for _ in row["responses"]], row) for prompt, row in asked]
    prompts = {p.key: p for p in Prompt.objects.filter(key__in=[p for p, _, _ in pairs])}
    answers = {r.key: r for r in Response.objects.filter(key__in=[k for _, ks, _ in pairs for k in ks])}
    drafts = [
        pairing.Draft(prompts[p], [answers[k] for k in ks], **{n: row[n] for n in ITEM if n in row})
        for p, ks, row in pairs
    ]
    return pairing.add_items(queue=queue, drafts=drafts, actor=actor)[1] if drafts else 0
