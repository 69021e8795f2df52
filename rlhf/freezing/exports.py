"""A frozen dataset in the shapes that other trainers read, a batch of rows in memory at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from feedback.errors import BadInput

SHAPES = ("trl", "trl-implicit", "reward", "kto", "sft")
CONTAINERS = ("jsonl", "csv", "parquet")
BATCH = 1000
SOURCES = {"kto": ("kto",), "sft": ("sft",)}


def check(shape: str, split: str) -> None:
    """Raises BadInput for a shape or split that there is not."""
    if shape not in SHAPES:
        raise BadInput(f"format: {shape!r} is none of {', '.join(SHAPES)}.", where="format")
    if split not in ("train", "test"):
        raise BadInput("split: expected train or test.", where="split")


def rows(folder: Path, shape: str, split: str) -> Iterator[dict[str, Any]]:
    """The rows of one shape: `split` is train or test, decisive pairs only; KTO and SFT have no test."""
    check(shape, split)
    if shape in SOURCES and split == "test":
        return
    with pq.ParquetFile(folder / f"{SOURCES.get(shape, (split,))[0]}.parquet") as file:
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                yield _shaped(row, shape)


def _shaped(row: dict[str, Any], shape: str) -> dict[str, Any]:
    if shape == "kto":
        return {name: row[name] for name in ("prompt", "completion", "label", "weight")}
    if shape == "sft":
        return {name: row[name] for name in ("prompt", "completion")}
    if shape == "trl":
        return {name: row[name] for name in ("prompt", "chosen", "rejected", "probability", "votes")}
    both = {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}
    return both | ({"margin": row["margin"]} if shape == "reward" else {})


def stream(folder: Path, shape: str, container: str, split: str = "train") -> Iterator[bytes]:
    """The bytes of a JSON lines or CSV file (conversations as JSON in a cell)."""
    found = rows(folder, shape, split)
    if container == "jsonl":
        for row in found:
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    elif container == "csv":
        yield from _csv(found)
    else:
        raise BadInput(f"as: {container!r} is none of jsonl, csv.", where="as")


def _csv(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    head = False
    for row in found:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(row))
        if not head:
            writer.writeheader()
            head = True
        writer.writerow({k: orjson.dumps(v).decode() if isinstance(v, list) else v for k, v in row.items()})
        yield out.getvalue().encode()


def write(folder: Path, shape: str, container: str, target: Path) -> list[Path]:
    """Files `train` and `test` of the shape in the directory `target`; parquet in `data/` with a README, as
    `datasets.load_dataset(target)` reads a dataset's directory."""
    made = []
    for split in ("train", "test"):
        if container == "parquet":
            path = target / "data" / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            made += [path] if _parquet(rows(folder, shape, split), path) else []
        else:
            path = target / f"{split}.{container}"
            target.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.writelines(stream(folder, shape, container, split))
            if path.stat().st_size:
                made.append(path)
            else:
                path.unlink()
    (target / "README.md").write_bytes((folder / "README.md").read_bytes())
    return made


def _parquet(found: Iterator[dict[str, Any]], path: Path) -> bool:
    writer = None
    batch: list[dict[str, Any]] = []
    for row in found:
        batch.append(row)
        if len(batch) == BATCH:
            writer = _flush(batch, path, writer)
            batch = []
    if batch:
        writer = _flush(batch, path, writer)
    if writer is not None:
        writer.close()
    return writer is not None


def _flush(batch: list[dict[str, Any]], path: Path, writer: Any) -> Any:
    table = pa.Table.from_pylist(batch, schema=writer.schema if writer else None)
    writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
    writer.write_table(table)
    return writer
