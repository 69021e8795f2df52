"""A backup brings everything back as it was, on either database, or says what is wrong and changes nothing."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from config import backup
from feedback import aggregation, assigning, judging
from feedback.errors import BadInput, Conflict
from feedback.models import Judgment, Prompt
from rlhf import artifacts
from tests.factories import make_interaction, make_item, make_queue, make_user
from tests.factories_rlhf import make_built_dataset, make_decision, make_deployment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.PLUMBLINE_HOME = tmp_path / "home"
    settings.PLUMBLINE_ARTIFACTS = tmp_path / "artifacts"
    settings.PLUMBLINE_HOME.mkdir()
    (settings.PLUMBLINE_HOME / "secret_key").write_text("the key")
    return settings.PLUMBLINE_HOME


def some_work() -> Judgment:
    """A judged item, a correction's chain, an artifact, a deployment, an interaction."""
    ann = make_user("ann")
    queue = make_queue("which", members=(ann,))
    make_item(queue, texts=("Ünïcode ✓", "plain"))
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None
    judgment = judging.judge(assignment_id=lease.pk, annotator=ann, body={"choice": "A", "rationale": "b"}).judgment
    judging.undo(judgment_id=judgment.pk, annotator=ann)
    judgment = judging.judge(assignment_id=lease.pk, annotator=ann, body={"choice": "B"}).judgment
    aggregation.gather()
    make_built_dataset(), make_decision(), make_deployment(), make_interaction(consent="none")
    return judgment


def everything(tmp_path: Path) -> dict[str, bytes]:
    """Every table, byte for byte."""
    found = {}
    for model in backup._models():
        backup._dump(model, tmp_path / "table")
        found[model._meta.label_lower] = (tmp_path / "table").read_bytes()
    return found


def wipe(settings: Any) -> None:
    call_command("flush", interactive=False, verbosity=0)
    for path in sorted(Path(settings.PLUMBLINE_ARTIFACTS).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (settings.PLUMBLINE_HOME / "secret_key").unlink()


def test_after_a_wipe_every_row_and_every_artifact_is_back(tmp_path: Path, settings: Any, home: Path) -> None:
    judgment = some_work()
    before, digests = everything(tmp_path), backup._artifacts()
    counts = backup.backup(tmp_path / "all.tar")
    wipe(settings)
    assert not Prompt.objects.exists() and not backup._artifacts()
    assert backup.restore(tmp_path / "all.tar")["rows"] == counts["rows"]
    assert everything(tmp_path) == before
    assert backup._artifacts() == digests and digests
    assert (home / "secret_key").read_text() == "the key"
    assert Judgment.objects.get(pk=judgment.pk).created_at == judgment.created_at


def test_new_rows_after_a_restore_get_keys_of_their_own(tmp_path: Path, settings: Any) -> None:
    some_work()
    backup.backup(tmp_path / "all.tar")
    wipe(settings)
    backup.restore(tmp_path / "all.tar")
    make_item(make_queue("another"))
    assert aggregation.check_derived() == []


def test_a_database_that_holds_work_is_left_alone(tmp_path: Path) -> None:
    some_work()
    backup.backup(tmp_path / "all.tar")
    with pytest.raises(Conflict, match="holds work"):
        backup.restore(tmp_path / "all.tar")


def test_a_file_cut_short_is_refused_and_nothing_is_changed(tmp_path: Path, settings: Any) -> None:
    some_work()
    backup.backup(tmp_path / "all.tar")
    wipe(settings)
    whole = (tmp_path / "all.tar").read_bytes()
    for size in (0, 1000, len(whole) // 2, len(whole) - 11_000):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(BadInput):
            backup.restore(tmp_path / "cut.tar")
    assert not Prompt.objects.exists()


def test_a_changed_byte_is_found_and_named(tmp_path: Path, settings: Any) -> None:
    some_work()
    backup.backup(tmp_path / "all.tar")
    wipe(settings)
    with tarfile.open(tmp_path / "all.tar") as tar:
        offset = tar.getmember("tables/feedback.judgment.jsonl.gz").offset_data + 20
    body = bytearray((tmp_path / "all.tar").read_bytes())
    body[offset] ^= 1
    (tmp_path / "all.tar").write_bytes(body)
    with pytest.raises(BadInput, match="feedback.judgment"):
        backup.restore(tmp_path / "all.tar")


def test_a_damaged_artifact_stops_the_backup(tmp_path: Path) -> None:
    some_work()
    (artifacts.root() / backup._artifacts()[0] / "train.parquet").write_bytes(b"no")
    with pytest.raises(Conflict, match=r"train\.parquet"):
        backup.backup(tmp_path / "all.tar")
    assert not list(tmp_path.glob("*all.tar*"))


def test_a_backup_of_another_version_says_so(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    some_work()
    backup.backup(tmp_path / "all.tar")
    wipe(settings)
    monkeypatch.setattr(backup, "_migrations", lambda: ["feedback.9999_later"])
    with pytest.raises(Conflict, match="another version"):
        backup.restore(tmp_path / "all.tar")


def test_the_commands_say_what_they_did_and_refuse_to_overwrite(tmp_path: Path, capsys: Any) -> None:
    some_work()
    call_command("backup", str(tmp_path / "all.tar"))
    assert "found whole" in capsys.readouterr().out
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(tmp_path / "all.tar"))


def test_readers_and_writers_go_on_while_the_tables_are_read(tmp_path: Path) -> None:
    some_work()
    with backup._snapshot():
        seen = Prompt.objects.count()
        if connection.vendor == "sqlite":
            import sqlite3

            other = sqlite3.connect(connection.settings_dict["NAME"], timeout=1)
            other.execute("UPDATE feedback_queue SET title = 'changed meanwhile'")
            other.commit()
            other.close()
        assert Prompt.objects.count() == seen
