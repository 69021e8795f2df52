"""The tables of a dataset: their columns, rows built a bucket at a time, and the digest of a block of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_IDS = pa.list_(pa.string())
PREFERENCE = pa.schema(
    [
        ("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES), ("probability", pa.float64()),
        ("margin", pa.float64()), ("votes", pa.int64()), ("tie", pa.bool_()), ("prompt_id", pa.string()),
        ("pair_id", pa.string()), ("chosen_id", pa.string()), ("rejected_id", pa.string()), ("judgment_ids", _IDS),
        ("arm", pa.string()), ("queue", pa.string()), ("group", pa.string()),
    ]
)  # fmt: skip
KTO = pa.schema(
    [
        ("prompt", MESSAGES), ("completion", MESSAGES), ("label", pa.bool_()), ("weight", pa.float64()),
        ("prompt_id", pa.string()), ("response_id", pa.string()), ("pair_id", pa.string()), ("judgment_ids", _IDS),
        ("arm", pa.string()), ("queue", pa.string()), ("group", pa.string()),
    ]
)  # fmt: skip
SFT = pa.schema(
    [
        ("prompt", MESSAGES), ("completion", MESSAGES), ("prompt_id", pa.string()), ("response_id", pa.string()),
        ("source", pa.string()), ("judgment_ids", _IDS), ("queue", pa.string()), ("group", pa.string()),
    ]
)  # fmt: skip
SCHEMAS = {"train": PREFERENCE, "test": PREFERENCE, "ties": PREFERENCE, "kto": KTO, "sft": SFT}
FILES = tuple(SCHEMAS)
TEXTS = ("prompt", "chosen", "rejected", "completion")  # what the ids stand for; ids go into the digest


def messages_array(conversations: list[list[dict[str, str]]]) -> pa.Array:
    """Conversations as a column; several times as fast as handing pyarrow the dicts."""
    turns = [turn for messages in conversations for turn in messages]
    offsets = np.concatenate([[0], np.cumsum([len(messages) for messages in conversations])])
    return _messages(pa.array([t["role"] for t in turns], pa.string()),
                     pa.array([t["content"] for t in turns], pa.string()), offsets)  # fmt: skip


def answers_array(texts: pa.Array) -> pa.Array:
    """Each text as a conversation of one assistant turn."""
    return _messages(pa.repeat("assistant", len(texts)), texts, np.arange(len(texts) + 1))


def _messages(roles: pa.Array, contents: pa.Array, offsets: np.ndarray) -> pa.Array:
    turns = pa.StructArray.from_arrays([roles, contents], names=["role", "content"])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), turns)


def ids_array(counts: np.ndarray, ids: Iterable[str]) -> pa.Array:
    """Lists of ids: `counts` says how many of the flat `ids` each row has."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(list(ids), pa.string()))


def block_digest(table: pa.Table | pa.RecordBatch) -> bytes:
    """sha256 over the columns of a block of rows, texts left out (their ids are content keys of them).

    A column of text is its lengths and then its bytes; floats are millionths, whole numbers 8 bytes little-endian.
    """
    digest = hashlib.sha256(str(table.num_rows).encode())
    for name in table.schema.names:
        if name not in TEXTS:
            digest.update(name.encode())
            for part in _parts(table.column(name)):
                digest.update(part)
    return digest.digest()


def _parts(column: Any) -> list[Any]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # no rows at all
        array = pa.array([], array.type)
    if pa.types.is_list(array.type):
        return [_lengths(array), *_parts(array.flatten())]
    if pa.types.is_string(array.type):
        start, end = _offsets(array)[[0, -1]]
        return [_lengths(array), (array.buffers()[2] or b"")[start:end]]
    values = array.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type):
        values = np.rint(values * 1e6)
    return [values.astype("<i8").tobytes()]


def _offsets(array: pa.Array) -> np.ndarray:
    if not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]


def _lengths(array: pa.Array) -> bytes:
    return np.diff(_offsets(array)).astype("<i4").tobytes()
