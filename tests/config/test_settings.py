"""A bad value stops the start with one clear line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from config import env as read

ROOT = Path(__file__).resolve().parent.parent.parent


def start(home: Path, **values: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PLUMBLINE_HOME": str(home), **values}
    command = [sys.executable, "manage.py", "check"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://nobody@nowhere/x"),
        ("DATABASE_URL", "postgres://u@host:port/x"),
        ("REDIS_URL", "localhost:6379"),
        ("PORT", "80000"),
        ("DEBUG", "perhaps"),
        ("PLUMBLINE_BASES", "{not json"),
        ("PLUMBLINE_LAUNCHER", "python -m rlhf.engine"),
    ],
)
def test_a_bad_value_ends_the_start_with_one_line_naming_it(tmp_path: Path, name: str, value: str) -> None:
    done = start(tmp_path, **{name: value})
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    assert name in done.stderr


def test_a_home_that_cannot_be_written_ends_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = start(tmp_path / "file")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1 and "PLUMBLINE_HOME" in done.stderr


def test_the_secret_key_is_drawn_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    first = read.read_secret_key({}, tmp_path)
    assert read.read_secret_key({}, tmp_path) == first
    assert len(first) > 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    ("word", "meant"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("off", False), ("", False)]
)
def test_yes_and_no_have_several_words(word: str, meant: bool) -> None:
    assert read.read_bool({"X": word}, "X", not meant) is meant


def test_a_redis_address_is_spelt_for_the_cache_and_for_celery() -> None:
    assert read.cache_url("redis+socket:///run/r.sock") == "unix:///run/r.sock"
    assert read.broker_url("unix:///run/r.sock") == "redis+socket:///run/r.sock"
    assert read.broker_url("redis://host:6379/0") == read.cache_url("redis://host:6379/0") == "redis://host:6379/0"


def test_redis_is_the_variable_then_what_the_supervisor_noted_then_none(tmp_path: Path) -> None:
    assert read.read_redis({}, "REDIS_URL", tmp_path) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "redis_url").write_text("redis+socket:///private.sock\n")
    assert read.read_redis({}, "REDIS_URL", tmp_path) == "redis+socket:///private.sock"
    assert read.read_redis({"REDIS_URL": "redis://h/1"}, "REDIS_URL", tmp_path) == "redis://h/1"


def test_a_number_outside_its_range_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="from 1 to 9"):
        read.read_int({"N": "10"}, "N", 5, 1, 9)


@pytest.mark.database
@pytest.mark.django_db
def test_sqlite_starts_writing_transactions_at_once_and_logs_ahead() -> None:
    if connection.vendor == "postgresql":
        assert connection.settings_dict["OPTIONS"]["pool"]
        return
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert connection.settings_dict["ATOMIC_REQUESTS"] is False
