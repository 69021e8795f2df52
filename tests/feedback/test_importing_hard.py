"""Imports that are killed, and imports that race."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from feedback import importing
from feedback.errors import Conflict
from feedback.models import ImportBatch, Item, Judgment, Response
from tests.feedback.test_importing import pair, write

pytestmark = pytest.mark.slow
PAIRS = 4000


def lines(count: int) -> list[str]:
    return [pair(f"What about matter {n}?", f"Good {n}.", f"Bad {n}.") for n in range(count)]


def manage(home: Path, *args: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PLUMBLINE_HOME": str(home), "DATABASE_URL": "", "DEBUG": "0"}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    command = [sys.executable, "manage.py", *args]
    return subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ask(home: Path, query: str) -> int:
    with sqlite3.connect(f"file:{home / 'plumbline.sqlite3'}?mode=ro", uri=True, timeout=20) as database:
        return database.execute(query).fetchone()[0]


def test_an_import_killed_with_sigkill_completes_when_run_again(tmp_path):
    home = tmp_path / "home"
    path = write(tmp_path / "pairs.jsonl", *lines(PAIRS))
    migrating = manage(home, "migrate", "--verbosity", "0")
    assert migrating.wait(120) == 0, migrating.communicate()
    first = manage(home, "import_preferences", str(path), "--format", "hh")
    while not ask(home, "select count(*) from feedback_judgment"):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.kill()
    first.communicate()
    staged = ask(home, "select count(*) from feedback_item where status = 'staged'")
    assert 0 < staged < PAIRS
    assert ask(home, "select count(*) from feedback_item where status <> 'staged'") == 0

    again = manage(home, "import_preferences", str(path), "--format", "hh")
    said, error = again.communicate(timeout=200)
    assert again.returncode == 0, error
    judgments = ask(home, "select count(*) from feedback_judgment")
    assert f"{judgments} judged pairs imported" in said
    assert "stopped half-way" in said
    assert judgments == ask(home, "select count(*) from feedback_item where status = 'settled'") > 0.85 * PAIRS
    assert ask(home, "select count(*) from feedback_itemresponse") == 2 * judgments
    assert ask(home, "select count(*) from feedback_response") == 2 * judgments


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_the_same_file_imported_twice_at_once_comes_in_once(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 20)
    path = write(tmp_path / "pairs.jsonl", *lines(200))
    together, wrong = threading.Barrier(2), []

    def one() -> None:
        try:
            together.wait()
            importing.import_preferences(path=path, format="hh", queue_slug="hh")
        except Conflict:
            pass  # the other one finished the shared batch first
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    judgments = Judgment.objects.count()
    assert judgments == Item.objects.filter(status="settled").count() > 150
    assert Response.objects.count() == 2 * judgments
    assert not ImportBatch.objects.filter(status="staging").exclude(items=None)
