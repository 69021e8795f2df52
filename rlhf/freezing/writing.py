"""Writing the tables of a dataset a bucket at a time; each bucket is a row group, and the digest goes over them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feedback.clean_text import canonical_json
from feedback.models import ARMS

from . import rules, texts
from .entries import Entries
from .rows import FILES, KTO, PREFERENCE, SCHEMAS, SFT, answers_array, block_digest, ids_array
from .votes import Pairs, Votes

PAIR_FILES = {rules.TRAIN: "train", rules.TEST: "test", rules.TIES: "ties"}


@dataclass
class Plan:
    """All that is known before the last pass. Arrays are by entry; `inside` says which rows are written."""

    pairs: Pairs
    votes: Votes
    entries: Entries
    inside: np.ndarray
    file: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    imitate: np.ndarray  # the first answer is one to imitate (an edit)
    queues: dict[int, str]


@dataclass
class Written:
    """What the files hold: rows and a running sha256 by file, and counts for the card."""

    rows: Counter[str] = field(default_factory=Counter)
    digests: dict[str, Any] = field(default_factory=lambda: {name: hashlib.sha256() for name in FILES})
    prompts: int = 0

    def digest(self, recipe: dict[str, Any]) -> str:
        whole = hashlib.sha256(canonical_json(recipe))
        for name in FILES:
            whole.update(name.encode() + self.digests[name].digest())
        return whole.hexdigest()


def write(folder: Path, aside: Path, plan: Plan) -> Written:
    """The five parquet files from the texts laid `aside`."""
    written = Written()
    writers = {n: pq.ParquetWriter(folder / f"{n}.parquet", s, compression="zstd") for n, s in SCHEMAS.items()}
    try:
        for number in range(-(-len(plan.entries) // texts.BUCKET)):
            table = texts.read_bucket(aside, number)
            if table is None:
                continue
            for name, rows in _tables(table.filter(pa.array(plan.inside[table.column("entry").to_numpy()])), plan):
                written.digests[name].update(block_digest(rows))
                written.rows[name] += rows.num_rows
                writers[name].write_table(rows, row_group_size=rows.num_rows)
    finally:
        for writer in writers.values():
            writer.close()
    return written


def _tables(table: pa.Table, plan: Plan) -> Iterator[tuple[str, pa.Table]]:
    """The bucket's share of each file that has one."""
    entry = table.column("entry").to_numpy()
    shared = _shared(table, entry, plan)
    for code, name in PAIR_FILES.items():
        at = np.flatnonzero(plan.file[entry] == code)
        if len(at):
            yield name, _preferences(shared, entry, at, plan)
    at = np.flatnonzero(plan.label[entry] >= 0)
    if len(at):
        yield "kto", _kto(shared, entry, at, plan)
    at = np.flatnonzero(plan.imitate[entry])
    if len(at):
        yield "sft", _sft(shared, at)


def _shared(table: pa.Table, entry: np.ndarray, plan: Plan) -> pa.Table:
    """Columns that every file draws from, by entry of the bucket: texts, ids, arm, queue, group."""
    entries, pairs = plan.entries, plan.pairs
    pair, swapped = entries.pair[entry], entries.swapped[entry]
    first = np.where(swapped, pairs.b_key[pair], pairs.a_key[pair])
    second = np.where(swapped, pairs.a_key[pair], pairs.b_key[pair])
    start, end = entries.start[entry], entries.end[entry]
    ids = [uuid_of(h) for s, e in zip(start, end, strict=True) for h in plan.votes.judgment[s:e].tolist()]
    columns = {
        "prompt": table.column("prompt").combine_chunks(), "first": table.column("first").combine_chunks(),
        "second": table.column("second").combine_chunks(), "first_id": _strings(first), "second_id": _strings(second),
        "prompt_id": _strings(pairs.prompt_key[pair]), "pair_id": _strings(pairs.key[pair]),
        "judgment_ids": ids_array(end - start, ids), "arm": _named(pairs.arm[pair], dict(enumerate(ARMS))),
        "queue": _named(pairs.queue[pair], plan.queues), "group": table.column("group").combine_chunks(),
    }  # fmt: skip
    return pa.table(columns)


def uuid_of(h: bytes) -> str:
    t = h.decode()
    return f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}"


def _strings(keys: np.ndarray) -> pa.Array:
    return pa.array(keys.tolist(), pa.binary()).cast(pa.string())


def _named(codes: np.ndarray, names: dict[int, str]) -> pa.Array:
    return pa.array([names[c] for c in codes.tolist()], pa.string())


def _preferences(shared: pa.Table, entry: np.ndarray, at: np.ndarray, plan: Plan) -> pa.Table:
    rows, entries, own = shared.take(pa.array(at)), plan.entries, entry[at]
    columns = {
        "prompt": rows["prompt"], "chosen": _answers(rows["first"]), "rejected": _answers(rows["second"]),
        "probability": entries.probability[own], "margin": entries.margin[own],
        "votes": entries.votes[own].astype(np.int64), "tie": entries.tie[own], "prompt_id": rows["prompt_id"],
        "pair_id": rows["pair_id"], "chosen_id": rows["first_id"], "rejected_id": rows["second_id"],
        "judgment_ids": rows["judgment_ids"], "arm": rows["arm"], "queue": rows["queue"], "group": rows["group"],
    }  # fmt: skip
    return pa.table([columns[name] for name in PREFERENCE.names], schema=PREFERENCE)


def _kto(shared: pa.Table, entry: np.ndarray, at: np.ndarray, plan: Plan) -> pa.Table:
    """Two rows a pair, side by side: TRL's KTO does not shuffle, and so good and bad alternate."""
    rows = shared.take(pa.array(np.repeat(at, 2)))
    own, second = entry[at], np.tile([False, True], len(at))
    label = np.stack([plan.label[own] == 1, np.zeros(len(at), bool)], axis=1).ravel()
    columns = {
        "prompt": rows["prompt"], "completion": _answers(_interleaved(rows, "first", "second", second)),
        "label": label, "weight": np.repeat(plan.weight[own], 2), "prompt_id": rows["prompt_id"],
        "response_id": _interleaved(rows, "first_id", "second_id", second), "pair_id": rows["pair_id"],
        "judgment_ids": rows["judgment_ids"], "arm": rows["arm"], "queue": rows["queue"], "group": rows["group"],
    }  # fmt: skip
    return pa.table([columns[name] for name in KTO.names], schema=KTO)


def _interleaved(rows: pa.Table, first: str, second: str, take_second: np.ndarray) -> pa.Array:
    return pa.compute.if_else(pa.array(take_second), rows[second].combine_chunks(), rows[first].combine_chunks())


def _sft(shared: pa.Table, at: np.ndarray) -> pa.Table:
    rows = shared.take(pa.array(at))
    columns = {
        "prompt": rows["prompt"], "completion": _answers(rows["first"]), "prompt_id": rows["prompt_id"],
        "response_id": rows["first_id"], "source": pa.repeat("edit", len(at)), "judgment_ids": rows["judgment_ids"],
        "queue": rows["queue"], "group": rows["group"],
    }  # fmt: skip
    return pa.table([columns[name] for name in SFT.names], schema=SFT)


def _answers(texts: Any) -> pa.Array:
    return answers_array(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts)


def redigest(folder: Path, recipe: dict[str, Any]) -> str:
    """The digest that the rows in the files make, row group by row group."""
    written = Written()
    for name in FILES:
        with pq.ParquetFile(folder / f"{name}.parquet") as file:
            for number in range(file.num_row_groups):
                written.digests[name].update(block_digest(file.read_row_group(number)))
    return written.digest(recipe)


def content_digest(folder: Path) -> str:
    """sha256 over the sorted hashes of each pair's texts, probability, votes and tie; ids play no part."""
    hashes = []
    for name in ("train", "test", "ties"):
        with pq.ParquetFile(folder / f"{name}.parquet") as file:
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    sides = [row["chosen"][0]["content"], row["rejected"][0]["content"]]
                    told = sorted(sides) if row["tie"] else sides
                    parts = [name, row["prompt"], told, row["probability"], row["votes"]]
                    hashes.append(hashlib.sha256(canonical_json(parts)).digest())
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()
