"""Reading the texts once, in the order in which they are stored, and laying them aside by the order of the rows.

Texts go to one Arrow file for every BUCKET entries in the temporary folder: reading in storage order is
fast on any database, and writing rows in the order of their ids then needs one bucket in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from feedback.errors import BadInput
from feedback.models import Prompt, Response
from feedback.validators import language, pii, profanity
from rlhf import bases

from .entries import Entries
from .recipe import Recipe
from .rows import messages_array
from .votes import Pairs

BUCKET = 20_000
WINDOW = 5_000
ASIDE = pa.schema(
    [
        ("entry", pa.int64()), ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("group", pa.string()), ("first", pa.string()), ("second", pa.string()),
    ]
)  # fmt: skip
COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass
class Facts:
    """(n,) what the rules want to know of each entry's texts; only what the recipe asks for is filled."""

    prompt_length: np.ndarray
    first_length: np.ndarray
    second_length: np.ndarray
    same: np.ndarray  # equal for the same prompt with the same two texts
    cluster: np.ndarray
    domain: np.ndarray
    found: dict[str, np.ndarray] = field(default_factory=dict)  # reason -> rows

    @classmethod
    def empty(cls, n: int) -> Facts:
        lengths = [np.zeros(n, np.int32) for _ in range(3)]
        numbers = [np.zeros(n, np.uint64) for _ in range(3)]
        return cls(*lengths, *numbers)  # type: ignore[arg-type]


def lay_aside(folder: Path, which: np.ndarray, pairs: Pairs, entries: Entries, recipe: Recipe) -> Facts:
    """Write the texts of the entries `which` (numbers) into buckets under `folder`; returns the facts."""
    facts, look = Facts.empty(len(entries)), _looker(recipe)
    in_storage = which[np.argsort(pairs.prompt[entries.pair[which]], kind="stable")]
    with Buckets(folder) as buckets:
        for start in range(0, len(in_storage), WINDOW):
            window = in_storage[start : start + WINDOW]
            texts = _fetch(window, pairs, entries)
            if look is not None:
                look(facts, window, texts)
            buckets.add(_batch(window, texts))
    return facts


@dataclass
class Texts:
    """Of a window's entries: the prompts' rows by number, the entry's prompt, and both answers."""

    prompts: dict[int, tuple[Any, ...]]  # messages, group, cluster, metadata
    prompt: list[int]
    first: list[str]
    second: list[str]


def _fetch(window: np.ndarray, pairs: Pairs, entries: Entries) -> Texts:
    pair = entries.pair[window]
    prompt, swapped = pairs.prompt[pair], entries.swapped[window]
    first = np.where(swapped, pairs.b[pair], pairs.a[pair])
    second = np.where(swapped, pairs.a[pair], pairs.b[pair])
    found = Prompt.objects.filter(**_among(prompt)).values_list("pk", "messages", "group", "cluster", "metadata")
    answers = dict(Response.objects.filter(**_among(np.concatenate([first, second]))).values_list("pk", "content"))
    return Texts(
        {pk: rest for pk, *rest in found.iterator(chunk_size=WINDOW)},  # type: ignore[misc]
        prompt.tolist(),
        [answers[pk] for pk in first.tolist()],
        [answers[pk] for pk in second.tolist()],
    )


def _among(ids: np.ndarray) -> dict[str, Any]:
    """A range where it brings at most twice what is wanted, else a list: a range is several times as fast."""
    wanted = np.unique(ids)
    low, high = int(wanted[0]), int(wanted[-1])
    return {"pk__range": (low, high)} if high - low < 2 * len(wanted) else {"pk__in": wanted.tolist()}


def _batch(window: np.ndarray, texts: Texts) -> pa.RecordBatch:
    prompts = [texts.prompts[pk] for pk in texts.prompt]
    columns = [
        pa.array(window), messages_array([row[0] for row in prompts]),
        pa.array([row[2] or row[1] for row in prompts], pa.string()),
        pa.array(texts.first, pa.string()), pa.array(texts.second, pa.string()),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=ASIDE)


class Buckets:
    """Arrow streams by `entry // BUCKET`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Buckets:
        return self

    def __exit__(self, *failure: Any) -> None:
        for writer in self.writers.values():
            writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        number = batch.column(0).to_numpy() // BUCKET
        order = np.argsort(number, kind="stable")
        edges = np.flatnonzero(np.diff(number[order], prepend=-1))
        ordered = batch.take(pa.array(order))
        for start, end in zip(edges, [*edges[1:], len(order)], strict=True):
            self._writer(int(number[order[start]])).write_batch(ordered.slice(start, end - start))

    def _writer(self, number: int) -> pa.ipc.RecordBatchStreamWriter:
        if number not in self.writers:
            path = str(self.folder / f"{number}.arrow")
            self.writers[number] = pa.ipc.new_stream(path, ASIDE, options=COMPRESSED)
        return self.writers[number]


def read_bucket(folder: Path, number: int) -> pa.Table | None:
    """The bucket's texts in the order of entries; the file goes. None where no entry fell into it."""
    path = folder / f"{number}.arrow"
    if not path.exists():
        return None
    with pa.ipc.open_stream(str(path)) as reader:
        table = reader.read_all()
    path.unlink()
    return table.take(pa.array(np.argsort(table.column("entry").to_numpy()))).combine_chunks()


# --- what the rules want to know -----------------------------------------------------------------

Look = Callable[[Facts, np.ndarray, Texts], None]


def _looker(recipe: Recipe) -> Look | None:
    """What the recipe asks of texts, as one function; None where it asks nothing."""
    looks: list[Look] = []
    if recipe.max_prompt or recipe.max_answer or recipe.balance == "length":
        looks.append(_lengths(recipe.tokenizer))
    if recipe.dedupe != "none" or recipe.balance == "domain":
        looks.append(_sameness)
    if recipe.languages:
        looks.append(_languages(recipe.languages))
    looks += [_validated(name) for name in recipe.drop]

    def look(facts: Facts, window: np.ndarray, texts: Texts) -> None:
        for one in looks:
            one(facts, window, texts)

    return look if looks else None


def _lengths(tokenizer: str) -> Look:
    count = token_counter(tokenizer) if tokenizer else lambda texts: [len(t) for t in texts]

    def look(facts: Facts, window: np.ndarray, texts: Texts) -> None:
        facts.prompt_length[window] = count([_whole(texts.prompts[pk][0]) for pk in texts.prompt])
        facts.first_length[window] = count(texts.first)
        facts.second_length[window] = count(texts.second)

    return look


def token_counter(base: str) -> Callable[[Sequence[str]], list[int]]:
    """Counts tokens as the base's own tokenizer does, without special tokens. Raises BadInput where it has none."""
    from tokenizers import Tokenizer

    path = bases.path_of(base) / "tokenizer.json"
    if not path.is_file():
        raise BadInput(f"recipe.tokenizer: the base {base} has no tokenizer.json.", where="recipe.tokenizer")
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [len(e) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _sameness(facts: Facts, window: np.ndarray, texts: Texts) -> None:
    for entry, pk, first, second in zip(window, texts.prompt, texts.first, texts.second, strict=True):
        messages, group, cluster, metadata = texts.prompts[pk]
        facts.same[entry] = _number(str(messages), *sorted((first, second)))
        facts.cluster[entry] = _number(cluster or group)
        facts.domain[entry] = _number(str(metadata.get("domain", "")))


def _number(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _languages(wanted: tuple[str, ...]) -> Look:
    def look(facts: Facts, window: np.ndarray, texts: Texts) -> None:
        known = {pk: language.of(row[0][-1]["content"]) for pk, row in texts.prompts.items() if pk in set(texts.prompt)}
        column = facts.found.setdefault("prompt in another language", np.zeros(len(facts.same), bool))
        column[window] = [known[pk] not in wanted for pk in texts.prompt]

    return look


def _validated(name: str) -> Look:
    check = {"pii": pii.found, "profanity": profanity.found}[name]
    reason = {"pii": "personal data", "profanity": "profanity"}[name]

    def look(facts: Facts, window: np.ndarray, texts: Texts) -> None:
        prompts = {pk: bool(check(_whole(texts.prompts[pk][0]))) for pk in set(texts.prompt)}
        column = facts.found.setdefault(reason, np.zeros(len(facts.same), bool))
        column[window] = [
            prompts[pk] or bool(check(first)) or bool(check(second))
            for pk, first, second in zip(texts.prompt, texts.first, texts.second, strict=True)
        ]

    return look


def _whole(messages: list[dict[str, str]]) -> str:
    return "\n".join(m["content"] for m in messages)
