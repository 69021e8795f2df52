"""Pairs from a file become settled items of a queue, all at once and only once.

Everything is named by its content (prompt, response, item, judgment), so an import that was killed is
finished by running it again, and a file that is in already adds nothing. New items are `staged`, which
nobody sees; one UPDATE at the end makes them `settled`. Only judgments about items that were visible
before (the same pair, asked or imported earlier) count from the moment they are written.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from . import events, intake
from .errors import BadInput, Conflict
from .formats import READERS, BadLine, Options, ParsedPair
from .lifecycle import advance
from .models import ImportBatch, Item, ItemResponse, Judgment, Policy, Prompt, Queue, Response, User
from .pairing import item_key

CHUNK = 250  # pairs at a time: no transaction writes more than 1,000 rows
SHOWN = 20  # bad lines named one by one; all are counted
JUDGMENT_SPACE = uuid.UUID("0d9b1f6c-3a52-5c1e-8f47-7be2a1c60e35")
ANNOTATOR = "imported"


@dataclass
class Report:
    """What came of an import. `bad` counts lines by reason, `shown` names the first of them."""

    queue: str = ""
    pairs: int = 0
    imported: int = 0
    existing: int = 0
    gate: int = 0
    resumed: bool = False
    splits: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def note_bad(self, line: BadLine) -> None:
        self.bad[line.reason] += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"line {line.line}: {line.reason}")

    def as_json(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs, "imported": self.imported, "existing": self.existing, "gate": self.gate,
            "splits": dict(self.splits), "bad": dict(self.bad), "shown": self.shown,
        }  # fmt: skip


@dataclass
class Import:
    """One file on its way into one queue. Queue and batch are made when the first new pair turns up."""

    path: Path
    format: str
    slug: str
    actor: User | None
    digest: str
    report: Report
    options: Options
    batch: ImportBatch | None = None
    seen: Counter[bytes] = field(default_factory=Counter)  # how often (pair, annotator) came in this file

    def occurrence(self, *parts: str) -> int:
        key = hashlib.blake2b("|".join(parts).encode(), digest_size=12).digest()
        self.seen[key] += 1
        return self.seen[key] - 1


def import_preferences(
    *,
    path: Path | str,
    format: str,
    queue_slug: str = "",
    actor: User | None = None,
    options: Options | None = None,
    progress: Callable[[int], object] = lambda line: None,
) -> Report:
    """Import a file of pairs into a queue, made (closed) where it is missing; `progress` hears line numbers.

    Bad lines are counted and named. Pairs on prompts of the gate split are kept out and counted. Raises
    BadInput where the file cannot be read or no line of it is a pair, Conflict where the queue is no place
    for pairs; then nothing is stored.
    """
    path = Path(path)
    if format not in READERS:
        raise BadInput(f"format: {format!r} is none of {', '.join(READERS)}.", where="format")
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file.", where=str(path))
    work = _begin(path, format, queue_slug, actor, options or Options())
    for chunk in _chunks(_good_pairs(work, progress), CHUNK):
        _store(work, chunk)
    if not work.report.pairs:
        first = work.report.shown[0] if work.report.shown else "it is empty"
        raise BadInput(f"{path}: nothing in it can be read as {format} pairs ({first}).", where=str(path))
    _finish(work)
    return work.report


def _begin(path: Path, format: str, slug: str, actor: User | None, options: Options) -> Import:
    slug = slug or slugify(path.name.split(".")[0])
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}).", where=str(path)) from error
    queue = Queue.objects.filter(slug=slug).first()
    if queue is not None and (queue.kind != "comparison" or queue.purpose != "label"):
        raise Conflict(f"The queue {slug} does not collect comparisons for learning.", where="queue")
    if queue is None and not slug:
        raise BadInput("queue: name one; the file's name gives none.", where="queue")
    unfinished = ImportBatch.objects.filter(queue=queue, format=format, status="staging", report__digest=digest)
    batch = unfinished.first() if queue else None
    report = Report(queue=slug, resumed=batch is not None)
    return Import(path, format, slug, actor, digest, report, options, batch)


def _good_pairs(work: Import, progress: Callable[[int], object]) -> Iterator[ParsedPair]:
    for found in READERS[work.format](work.path, work.options):
        progress(found.line)
        if isinstance(found, BadLine):
            work.report.note_bad(found)
        else:
            work.report.pairs += 1
            yield found


def _chunks(pairs: Iterable[ParsedPair], size: int) -> Iterator[list[ParsedPair]]:
    chunk: list[ParsedPair] = []
    for pair in pairs:
        chunk.append(pair)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _store(work: Import, chunk: list[ParsedPair]) -> None:
    pairs = _without_gate(work, chunk)
    if not pairs:
        return
    author = policy(work.format)
    prompts = intake.add_prompts(rows=[{"messages": p.messages} for p in pairs], actor=work.actor)
    rows = [
        {"prompt": key, "policy": author.slug, "content": text}
        for key, p in zip(prompts.ids, pairs, strict=True)
        for text in (p.chosen, p.rejected)
    ]
    answers = intake.add_responses(rows=rows, actor=work.actor)
    prompt_of = {p.key: p for p in Prompt.objects.filter(key__in=prompts.ids)}
    answer_of = {r.key: r for r in Response.objects.filter(key__in=answers.ids)}
    triples = [
        (prompt_of[key], answer_of[answers.ids[2 * n]], answer_of[answers.ids[2 * n + 1]])
        for n, key in enumerate(prompts.ids)
    ]
    work.report.splits.update(prompt.split for prompt, _, _ in triples)
    _store_judgments(work, pairs, triples)


def policy(format: str) -> Policy:
    """Who wrote imported answers: one author a format, whichever was preferred, so that it gives nothing away."""
    return intake.add_policy(slug=f"import-{format}", kind="external", note=f"answers from {format} files")[0]


def _without_gate(work: Import, chunk: list[ParsedPair]) -> list[ParsedPair]:
    """Gate prompts are read by decisions only: neither the pair nor its prompt is taken in."""
    groups = [intake.group_of(pair.messages) for pair in chunk]
    known = dict(Prompt.objects.filter(group__in=groups).values_list("group", "split"))
    kept = [p for p, g in zip(chunk, groups, strict=True) if (known.get(g) or intake.split_of(g)) != "gate"]
    work.report.gate += len(chunk) - len(kept)
    return kept


Triple = tuple[Prompt, Response, Response]  # prompt, chosen, rejected


def _store_judgments(work: Import, pairs: list[ParsedPair], triples: list[Triple]) -> None:
    """Judgments that are new, or that an interrupted import left out of sight; the others are in already."""
    names = [pair.annotator or ANNOTATOR for pair in pairs]
    ids = [judgment_id(work, t, name, p.verdict) for t, name, p in zip(triples, names, pairs, strict=True)]
    known = dict(Judgment.objects.filter(pk__in=ids).values_list("pk", "item__status"))
    fresh = [n for n, pk in enumerate(ids) if known.get(pk, "staged") == "staged"]
    if not fresh:
        return
    batch = _batch(work)
    with transaction.atomic():
        items = _items(batch, [triples[n] for n in fresh])
        places = _positions(items)
        Judgment.objects.bulk_create(
            [
                Judgment(
                    id=ids[n], item=item, queue=batch.queue, annotator=names[n],
                    answer={"choice": _choice(pairs[n], places[item.pk, triples[n][1].pk])},
                    strength=pairs[n].strength,
                )
                for n, item in zip(fresh, items, strict=True)
            ],
            ignore_conflicts=True,
        )  # fmt: skip
    work.report.imported += len(fresh)


def _choice(pair: ParsedPair, chosen: int) -> int | str:
    """As a comparison stores it: the position of the better answer, or the word."""
    return chosen if pair.verdict == "better" else pair.verdict


def judgment_id(work: Import, triple: Triple, annotator: str, verdict: str = "better") -> uuid.UUID:
    """A content key. The pair is (chosen, rejected), so the lines of a file may stand in any order."""
    answers = [triple[1].key, triple[2].key]
    if verdict != "better":  # neither was chosen
        answers = [*sorted(answers), verdict]
    parts = [work.slug, triple[0].key, *answers, annotator]
    return uuid.uuid5(JUDGMENT_SPACE, "|".join([*parts, str(work.occurrence(*parts))]))


def _batch(work: Import) -> ImportBatch:
    if work.batch is None:
        with transaction.atomic():
            title = work.path.name.split(".")[0].replace("_", " ")[:200] or work.slug
            queue, made = Queue.objects.get_or_create(
                slug=work.slug, defaults={"title": title, "kind": "comparison", "status": "closed"}
            )
            if made:
                events.record("queue.created", queue, actor=work.actor, after={"title": title})
            work.batch = ImportBatch.objects.create(
                queue=queue, name=work.path.name[:300], format=work.format, report={"digest": work.digest}
            )
    return work.batch


def _items(batch: ImportBatch, triples: list[Triple]) -> list[Item]:
    """The item of each triple, made `staged` where there is none. Which answer comes first is the hash's choice."""
    queue = batch.queue
    keys = [item_key(queue, prompt, (chosen, rejected)) for prompt, chosen, rejected in triples]
    known = set(Item.objects.filter(key__in=keys).values_list("key", flat=True))
    wanted = {key: triple for key, triple in zip(keys, triples, strict=True) if key not in known}
    last = Item.objects.filter(queue=queue).aggregate(last=Max("position"))["last"] or 0
    fresh = [
        Item(key=key, queue=queue, prompt=t[0], arm="import", batch=batch, status="staged", position=last + n)
        for n, (key, t) in enumerate(wanted.items(), start=1)
    ]
    Item.objects.bulk_create(fresh, ignore_conflicts=True)
    # What another import left staged is finished with this one.
    Item.objects.filter(key__in=known, status="staged").exclude(batch=batch).update(batch=batch)
    found = {item.key: item for item in Item.objects.filter(key__in=keys)}
    links = [
        ItemResponse(item=found[key], response=response, position=position)
        for key, (_, *answers) in wanted.items()
        for position, response in enumerate(sorted(answers, key=lambda r: r.key))
    ]
    ItemResponse.objects.bulk_create(links, ignore_conflicts=True)
    return [found[key] for key in keys]


def _positions(items: list[Item]) -> dict[tuple[int, int], int]:
    links = ItemResponse.objects.filter(item__in={item.pk for item in items})
    return {(i, r): p for i, r, p in links.values_list("item_id", "response_id", "position")}


@transaction.atomic
def _finish(work: Import) -> None:
    """The one moment in which an import becomes visible."""
    report = work.report
    report.existing = report.pairs - report.gate - report.imported
    if work.batch is None:
        return
    advance(work.batch, "done", report={**report.as_json(), "digest": work.digest})
    staged = Item.objects.filter(batch=work.batch, status="staged")
    items = staged.update(status="settled", settled_at=timezone.now())
    after = {"file": work.path.name, "judgments": report.imported, "items": items}
    events.record("import.done", work.batch.queue, actor=work.actor, after=after)
