"""The demo prompts are enough, distinct, and never nearly the same on both sides of a split."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

PROMPTS = Path(__file__).resolve().parents[2] / "demo" / "prompts.jsonl"
TASKS = {"explain", "rewrite", "summarise", "name", "opening", "describe", "list", "reply"}
LEAST = {"train": 250, "dev": 42, "gate": 208}
UNIT = r"(?:sentences?|words?|lines?|paragraph|names?|titles?|ideas?|list|items|suggestions?|options)"
SIZE = r"(?:an?|one|two|three|four|five|six|eight|ten|half|single|fewer|first|few|couple|long|each|\d+)"
# "two short sentences", "at most ten words", "a two-sentence answer", "give only the names"
LENGTH = re.compile(rf"\b{SIZE}\b[^.?!:\"]{{0,40}}?[\s-]{UNIT}\b|with no explanations", re.I)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]


def normalised(text: str) -> str:
    """Lower case, letters and digits only, one space between words."""
    return " ".join(re.findall(r"\w+", text.lower()))


def trigrams(text: str) -> set[str]:
    """Character trigrams of the normalised text: they see small edits that word trigrams miss."""
    plain = normalised(text)
    return {plain[i : i + 3] for i in range(len(plain) - 2)}


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def test_every_row_has_exactly_the_four_fields_as_text(rows):
    for row in rows:
        assert set(row) == {"external_id", "split", "task", "prompt"}
        assert all(isinstance(value, str) and value == value.strip() != "" for value in row.values())


def test_external_ids_count_up_from_one(rows):
    assert [row["external_id"] for row in rows] == [f"demo-{i:04d}" for i in range(1, len(rows) + 1)]


def test_each_split_is_large_enough(rows):
    counts = Counter(row["split"] for row in rows)
    assert set(counts) == set(LEAST)
    assert all(counts[split] >= least for split, least in LEAST.items()), counts


def test_each_task_is_spread_evenly_over_the_splits(rows):
    assert {row["task"] for row in rows} == TASKS
    for split in LEAST:
        counts = Counter(row["task"] for row in rows if row["split"] == split)
        assert set(counts) == TASKS
        assert max(counts.values()) - min(counts.values()) <= 2, (split, counts)


def test_no_prompt_occurs_twice_after_normalising(rows):
    counts = Counter(normalised(row["prompt"]) for row in rows)
    assert [text for text, n in counts.items() if n > 1] == []


def test_no_prompt_has_a_near_duplicate(rows):
    grams = [trigrams(row["prompt"]) for row in rows]
    pairs = itertools.combinations(range(len(rows)), 2)
    near = [(i, j) for i, j in pairs if jaccard(grams[i], grams[j]) >= 0.6]
    assert [(rows[i]["prompt"], rows[j]["prompt"]) for i, j in near] == []


def test_at_most_four_prompts_share_their_first_five_words(rows):
    counts = Counter(" ".join(normalised(row["prompt"]).split()[:5]) for row in rows)
    assert {start: n for start, n in counts.items() if n > 4} == {}


def test_every_prompt_says_how_long_the_answer_should_be(rows):
    assert [row["prompt"] for row in rows if not LENGTH.search(row["prompt"])] == []


def test_prompts_leave_a_small_model_room_to_answer(rows):
    lengths = [len(row["prompt"].split()) for row in rows]
    assert min(lengths) >= 6 and max(lengths) <= 90
