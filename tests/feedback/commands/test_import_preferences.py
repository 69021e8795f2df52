"""The command's words: exit code, one line on bad input, what was left out."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.feedback.test_importing import pair, train_questions, write

pytestmark = pytest.mark.django_db


def run(*args: str) -> list[str]:
    out = io.StringIO()
    call_command("import_preferences", *args, "--format", "hh", stdout=out)
    return out.getvalue().splitlines()


def test_it_ends_with_what_was_imported(tmp_path):
    path = write(tmp_path / "a.jsonl", *(pair(q) for q in train_questions(3)))
    assert run(str(path), "--queue", "hh")[-1].startswith("3 judged pairs imported into queue hh")


def test_a_second_import_says_that_all_is_in_already(tmp_path):
    path = write(tmp_path / "a.jsonl", *(pair(q) for q in train_questions(3)))
    run(str(path))
    assert run(str(path))[-1] == "nothing was imported: all of it is in already"


def test_bad_lines_are_printed_by_line_and_by_reason(tmp_path):
    path = write(tmp_path / "a.jsonl", pair(train_questions(1)[0]), *["{"] * 30, json.dumps({"chosen": "x"}))
    lines = run(str(path))
    assert lines[0] == "line 2: it is not valid JSON"
    assert "... and 11 more bad lines" in lines
    assert "30 lines left out: it is not valid JSON" in lines


def test_no_progress_is_shown_where_there_is_no_terminal(tmp_path, capsys):
    run(str(write(tmp_path / "a.jsonl", pair(train_questions(1)[0]))))
    assert capsys.readouterr().err == ""


def test_a_missing_file_ends_in_one_line(tmp_path):
    with pytest.raises(CommandError, match="there is no such file") as caught:
        run(str(tmp_path / "none.jsonl"))
    assert "\n" not in str(caught.value)


def test_an_unknown_format_lists_what_exists(tmp_path):
    with pytest.raises(CommandError, match=r"invalid choice: 'xml' \(choose from .*'?hh'?.*'?trl'?"):
        call_command("import_preferences", str(tmp_path / "x"), "--format=xml")
