"""Formats beside HH: what each yields from its documented shape, and what bad files say."""
# ruff: noqa: E501 (a table of files is read a line a file)

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import BadInput
from feedback.formats import READERS, BadLine, Options, ParsedPair


def read(tmp_path: Path, format: str, rows: Any, *maps: str, name: str = "f.jsonl", who: str = "") -> list[Any]:
    path = tmp_path / name
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        path.write_text(rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows))
    return list(READERS[format](path, Options.parse(list(maps), who)))


def told(found: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (p.chosen, p.rejected, p.verdict, p.annotator) if isinstance(p, ParsedPair) else (p.line, p.reason)
        for p in found
    ]


PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def test_trl_takes_text_messages_and_a_shared_prompt(tmp_path: Path) -> None:
    user, good, bad = (
        {"role": r, "content": c} for r, c in (("user", "Why?"), ("assistant", "Because."), ("assistant", "No."))
    )
    rows = [
        PAIR,
        {"prompt": [user], "chosen": [good], "rejected": [bad]},
        {"chosen": [user, good], "rejected": [user, bad]},
    ]
    found = read(tmp_path, "trl", rows)
    assert told(found) == [("Because.", "No.", "better", "")] * 3
    assert all(p.messages == [user] for p in found)


@pytest.mark.parametrize(
    ("votes", "probability", "expected"),
    [(3, 0.666667, "ccr"), (3, 0.833333, "cct"), (2, 0.5, "cr"), (1, 0.5, "t"), (1, 1.0, "c"), (4, 0.625, "cctr")],
)
def test_our_own_exports_stand_for_as_many_votes(tmp_path: Path, votes: int, probability: float, expected: str) -> None:
    found = read(tmp_path, "trl", [{**PAIR, "votes": votes, "probability": probability}])
    letters = "".join("t" if p.verdict == "tie" else "c" if p.chosen == "Because." else "r" for p in found)
    assert sorted(letters) == sorted(expected)


def test_columns_of_several_annotators_give_a_judgment_each(tmp_path: Path) -> None:
    row = {
        "instruction": "Shorten.",
        "input": "Long text",
        "response1": "x",
        "response2": "y",
        "a1": 0,
        "a2": 1,
        "a3": 2,
    }
    found = read(
        tmp_path, "columns", [row], "prompt=instruction", "input=input", "a=response1", "b=response2", "choice=a1,a2,a3"
    )
    assert told(found) == [("x", "y", "tie", "a1"), ("x", "y", "better", "a2"), ("y", "x", "better", "a3")]
    assert found[0].messages[0]["content"] == "Shorten.\n\nLong text"


def test_columns_read_csv_and_who_judged(tmp_path: Path) -> None:
    text = 'prompt,a,b,choice,who\n"Why, though?",x,y,b,ann\nWhy?,x,y,both_bad,bob\nWhy?,x\n'
    found = read(tmp_path, "columns", text, name="f.csv", who="who")
    assert told(found)[:2] == [("y", "x", "better", "ann"), ("x", "y", "both_bad", "bob")]
    assert isinstance(found[2], BadLine) and "number of columns" in found[2].reason


def test_oasst_pairs_every_two_ranked_replies(tmp_path: Path) -> None:
    def reply(text: str, rank: int | None, **more: Any) -> dict[str, Any]:
        return {"role": "assistant", "text": text, "rank": rank, "replies": [], **more}

    deep = {"role": "prompter", "text": "And?", "replies": [reply("p", 1), reply("q", 0)]}
    tree = {
        "prompt": {
            "role": "prompter",
            "text": "Why?",
            "replies": [
                reply("second", 1),
                reply("first", 0, replies=[deep]),
                reply("gone", 2, deleted=True),
                reply("unranked", None),
            ],
        }
    }
    found = read(tmp_path, "oasst", [tree, {"prompt": {"role": "prompter", "text": "Alone", "replies": []}}])
    assert told(found) == [
        ("first", "second", "better", ""),
        ("q", "p", "better", ""),
        (2, "no two ranked replies in the tree"),
    ]
    assert [m["role"] for m in found[1].messages] == ["user", "assistant", "user"]


def test_argilla_records(tmp_path: Path) -> None:
    record = {
        "id": "1", "fields": {"instruction": "Why?", "response1": "x", "response2": "y"},
        "responses": {"preference": [
            {"value": "response2", "user_id": "u1", "status": "submitted"}, {"value": "response1", "user_id": "u2", "status": "draft"},
            {"value": [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 2}], "user_id": "u3"}]},
    }  # fmt: skip
    found = read(tmp_path, "argilla", json.dumps([record, {"fields": {"prompt": "p"}, "responses": {}}]), name="f.json")
    assert told(found) == [("y", "x", "better", "u1"), ("x", "y", "better", "u3"), (2, "nobody submitted an answer")]


def test_label_studio_tasks(tmp_path: Path) -> None:
    result = [{"from_name": "comparison", "type": "pairwise", "value": {"selected": "right"}}]
    task = {
        "id": 1, "data": {"prompt": "Why?", "answer1": "x", "answer2": "y"},
        "annotations": [{"completed_by": 7, "was_cancelled": False, "result": result}, {"was_cancelled": True, "result": result}],
    }  # fmt: skip
    found = read(tmp_path, "label-studio", json.dumps([task]), name="f.json")
    assert told(found) == [("y", "x", "better", "7")]


def test_potato_instances(tmp_path: Path) -> None:
    row = {
        "user_id": "u",
        "instance_id": "1",
        "prompt": "Why?",
        "text": ["x", "y"],
        "label_annotations": {"which": {"A": True}},
    }
    none = {**row, "label_annotations": {"which": {}}}
    assert told(read(tmp_path, "potato", [row, none])) == [("x", "y", "better", "u"), (2, "nobody submitted an answer")]


BAD: dict[str, tuple[str, Any, str, str]] = {
    "no json": ("trl", "nonsense", "f.jsonl", "not valid JSON"),
    "not an object": ("trl", "[1]\n".replace("[", "3 #"), "f.jsonl", "not valid JSON"),
    "number": ("trl", "17", "f.jsonl", "not a JSON object"),
    "latin": ("columns", "prompt,a,b\nWarum nicht, x\xe9".encode("latin-1"), "f.csv", "not UTF-8"),
    "utf-16": ("trl", json.dumps(PAIR).encode("utf-16"), "f.jsonl", "UTF-16"),
    "cut gzip": ("trl", gzip.compress(json.dumps(PAIR).encode() * 999)[:60], "f.jsonl.gz", "cut short"),
    "parquet": ("trl", b"PAR1 nothing", "f.parquet", "parquet file is damaged"),
    "list cut": ("label-studio", '[{"data": {}}', "f.json", "not valid JSON"),
    "no chosen": ("trl", [{"prompt": "x", "rejected": "y"}], "f.jsonl", "chosen is missing"),
    "no prompt": ("trl", [{"chosen": "x", "rejected": "y"}], "f.jsonl", "no prompt"),
    "not shared": ("trl", [{"chosen": [{"role": "user", "content": "a"}, {}], "rejected": [{"role": "user", "content": "b"}, {}]}], "f.jsonl", "share a prompt"),
    "two turns": ("trl", [{**PAIR, "chosen": [{}, {}]}], "f.jsonl", "one assistant turn"),
    "empty": ("trl", [{**PAIR, "chosen": "  "}], "f.jsonl", "a response is empty"),
    "same": ("trl", [{**PAIR, "chosen": "No. "}], "f.jsonl", "both responses are the same"),
    "number answer": ("columns", [{"prompt": "p", "a": 3, "b": "y", "choice": "a"}], "f.jsonl", "not a string"),
    "nul": ("trl", [{**PAIR, "chosen": "a\x00b"}], "f.jsonl", "NUL"),
    "surrogate": ("trl", '{"prompt": "p", "chosen": "\\ud800", "rejected": "y"}', "f.jsonl", "surrogate"),
    "tool": ("trl", [{**PAIR, "prompt": [{"role": "tool", "content": "x"}]}], "f.jsonl", "tool"),
    "pictures": ("trl", [{**PAIR, "prompt": [{"role": "user", "content": [{"type": "image"}]}]}], "f.jsonl", "multimodal"),
    "choice": ("columns", [{"prompt": "p", "a": "x", "b": "y", "choice": "7"}], "f.jsonl", "none of a, b"),
    "no choice": ("columns", [{"prompt": "p", "a": "x", "b": "y"}], "f.jsonl", "no choice"),
    "votes": ("trl", [{**PAIR, "votes": "many"}], "f.jsonl", "not a number"),
    "probability": ("trl", [{**PAIR, "votes": 2, "probability": 1.7}], "f.jsonl", "out of range"),
    "no tree": ("oasst", [{"messages": []}], "f.jsonl", "no message tree"),
    "no record": ("argilla", [{"data": {}}], "f.jsonl", "no record"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_says_what_is_wrong_and_where(tmp_path: Path, name: str) -> None:
    format, rows, file, reason = BAD[name]
    found = read(tmp_path, format, rows, name=file)
    assert found and all(isinstance(line, BadLine) for line in found), found
    assert reason in found[0].reason and found[0].line >= 1


def test_a_map_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(BadInput, match="best=x"):
        Options.parse(["best=x"])


def test_real_sets_are_read_whole(test_data: Path) -> None:
    maps = [
        "prompt=instruction",
        "input=input",
        "a=response1",
        "b=response2",
        "choice=annotator1,annotator2,annotator3",
    ]
    pandalm = list(READERS["columns"](test_data / "pandalm_three_annotators.jsonl.gz", Options.parse(maps)))
    good = [p for p in pandalm if isinstance(p, ParsedPair)]
    assert len(good) > 2800 and {p.annotator for p in good} == {"annotator1", "annotator2", "annotator3"}
    assert {p.reason for p in pandalm if isinstance(p, BadLine)} <= {
        "an answer is not a string", "a response is empty", "both responses are the same"
    }  # fmt: skip
    oasst = list(READERS["oasst"](test_data / "oasst_100_trees.jsonl.gz", Options()))
    assert sum(isinstance(p, ParsedPair) for p in oasst) > 300
