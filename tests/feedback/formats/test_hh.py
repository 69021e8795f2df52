"""The HH reader: every kind of bad line is named by its number, good ones around it are read."""

from __future__ import annotations

import gzip
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from feedback.formats.base import BadLine, ParsedPair
from feedback.formats.hh import read_hh


def transcript(answer: str, question: str = "How do plants eat?") -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


GOOD, OTHER = transcript("By light."), transcript("With forks.")


def row(chosen: Any = GOOD, rejected: Any = OTHER) -> bytes:
    return json.dumps({"chosen": chosen, "rejected": rejected}).encode()


def read(*lines: bytes, **settings: int) -> list[ParsedPair | BadLine]:
    return list(read_hh(io.BytesIO(b"\n".join(lines)), **settings))


def test_a_pair_is_its_prompt_and_two_answers() -> None:
    messages = [{"role": "user", "content": "How do plants eat?"}]
    assert read(row()) == [ParsedPair(1, messages, "By light.", "With forks.")]


def test_earlier_turns_belong_to_the_prompt() -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Sing\n\nAssistant:"
    (pair,) = read(row(start + " La", start + " No"))
    assert [m["role"] for m in pair.messages] == ["user", "assistant", "user"]  # type: ignore[union-attr]
    assert (pair.chosen, pair.rejected) == ("La", "No")  # type: ignore[union-attr]


def test_two_turns_of_one_speaker_are_joined() -> None:
    start = "\n\nHuman: Hi\n\nHuman: Are you there?\n\nAssistant:"
    (pair,) = read(row(start + " Yes", start + " No"))
    assert pair.messages == [{"role": "user", "content": "Hi\n\nAre you there?"}]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"chosen": "a', "it is not valid JSON"),
        (b"[" * 100_000, "it is not valid JSON"),
        (b'["chosen"]', "it is not a JSON object"),
        (b'{"chosen": "\xff\xfe"}', "it is not UTF-8"),
        (b'{"chosen": "x"}', "the field chosen is not a Human/Assistant transcript"),
        (json.dumps({"chosen": transcript("a")}).encode(), "the field rejected is missing"),
        (row(rejected=7), "the field rejected is not a string"),
        (row(rejected=None), "the field rejected is not a string"),
        (row(rejected=""), "a response is empty"),
        (row(chosen=transcript("  ")), "a response is empty"),
        (row(rejected=transcript("By light. ")), "the responses are identical"),
        (row(rejected=transcript("x", "How do cats eat?")), "the transcripts do not share a prompt"),
        (row(transcript("a\x00")), "chosen: contains a NUL character"),
        (row(transcript("a\ud800")), "chosen: contains half of a surrogate pair, which is not text"),
        (row(transcript("a") + "\n\nHuman: b"), "the field chosen does not end with an Assistant turn"),
        (row("\n\nAssistant: a", "\n\nAssistant: b"), "prompt: expected a list of messages, at least one"),
        (row(transcript("a", " "), transcript("b", " ")), "prompt: empty"),
    ],
)
def test_a_bad_line_is_named_and_its_neighbours_are_read(line: bytes, reason: str) -> None:
    before, bad, after = read(row(), line, row())
    assert bad == BadLine(2, reason)
    assert isinstance(before, ParsedPair)
    assert isinstance(after, ParsedPair)
    assert after.line == 3


def test_blank_lines_count_but_say_nothing() -> None:
    assert [found.line for found in read(b"", row(), b"  \r", row(), b"")] == [2, 4]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    (pair,) = read(b"\xef\xbb\xbf" + row())
    assert isinstance(pair, ParsedPair)


def test_a_file_in_utf_16_is_one_complaint_not_thousands() -> None:
    text = "\n".join([row().decode()] * 5)
    assert list(read_hh(io.BytesIO(text.encode("utf-16")))) == [BadLine(1, "the file is UTF-16, not UTF-8", ends=True)]


def test_an_empty_file_has_no_lines() -> None:
    assert read(b"") == []
    assert list(read_hh(io.BytesIO(gzip.compress(b"")))) == []


def test_a_line_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    line = row()
    assert isinstance(read(line, row(), longest=len(line))[0], ParsedPair)
    first, second = read(line, row(), longest=len(line) - 1)[:2]
    assert (first.line, second.line) == (1, 2)
    assert "longer than" in first.reason  # type: ignore[union-attr]


def test_a_line_of_50_mb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(row() + b"\n" + b'{"chosen": "')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + row() + b"\n")
    tracemalloc.start()
    found = list(read_hh(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[1] == BadLine(2, "it is longer than 5 MB")
    assert isinstance(found[2], ParsedPair)
    assert peak < 20_000_000


def test_a_gz_file_cut_short_gives_what_it_holds_and_the_line_reached(tmp_path: Path) -> None:
    lines = [row(transcript(os.urandom(200).hex())) for _ in range(400)]
    packed = gzip.compress(b"\n".join(lines))
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    *pairs, last = read_hh(path)
    assert all(isinstance(pair, ParsedPair) for pair in pairs)
    assert 100 < len(pairs) < 300
    assert last == BadLine(len(pairs) + 1, "the gz file is cut short", ends=True)


def test_a_damaged_gz_file_ends_with_its_line() -> None:
    packed = bytearray(gzip.compress(b"\n".join(row(transcript(os.urandom(99).hex())) for _ in range(400))))
    packed[len(packed) // 2] ^= 0xFF
    *_, last = read_hh(io.BytesIO(bytes(packed)))
    assert isinstance(last, BadLine)


def test_gzip_is_recognised_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(gzip.compress(row()))
    assert isinstance(next(read_hh(path)), ParsedPair)


def test_the_real_file_gives_1176_pairs_and_names_five_lines(test_data: Path) -> None:
    found = list(read_hh(test_data / "hh_harmless_dev.jsonl.gz"))
    bad = [(line.line, line.reason) for line in found if isinstance(line, BadLine)]
    assert len(found) - len(bad) == 1176
    assert bad == [
        (272, "a response is empty"),
        (487, "a response is empty"),
        (1007, "the transcripts do not share a prompt"),
        (1008, "the transcripts do not share a prompt"),
        (1057, "the transcripts do not share a prompt"),
    ]
