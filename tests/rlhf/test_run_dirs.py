from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlhf import artifacts, digests, run_dirs


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    settings.PLUMBLINE_HOME, settings.PLUMBLINE_ARTIFACTS = tmp_path / "home", tmp_path / "artifacts"
    settings.PLUMBLINE_ARTIFACTS.mkdir()
    return tmp_path


def test_an_inventory_names_every_input_by_its_digest(home: Path) -> None:
    model, inputs = home / "model", home / "inputs"
    for folder in (model, inputs, home / "made"):
        folder.mkdir()
    (model / "config.json").write_text("{}")
    (home / "made" / "w").write_text("w")
    digest = artifacts.publish(home / "made", kind="x")
    (inputs / "base").symlink_to(model)
    (inputs / "adapter").symlink_to(artifacts.path_of(digest))
    (inputs / "pairs.jsonl").write_text("{}\n")
    (inputs / "cache").mkdir()
    found = run_dirs.inventory(inputs)
    assert sorted(found) == ["adapter", "base", "pairs.jsonl"]
    assert found["adapter"] == {"artifact": digest}
    assert found["pairs.jsonl"]["bytes"] == 3 and len(found["pairs.jsonl"]["sha256"]) == 64
    before = found["base"]["directory"]
    (model / "config.json").write_text('{"changed": true}')
    assert run_dirs.inventory(inputs)["base"]["directory"] != before


def test_a_large_directory_is_read_once_until_it_changes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "model").mkdir()
    (home / "model" / "w").write_text("1")
    first = digests.remembered(home / "model", home / "memory")
    monkeypatch.setattr(digests, "files_of", lambda *args: pytest.fail("read again"))
    assert digests.remembered(home / "model", home / "memory") == first


def test_slots_run_out_and_come_back(home: Path, settings: Any) -> None:
    import os

    settings.PLUMBLINE_RUNS_PER_MACHINE = 2
    first, second = run_dirs.slot(), run_dirs.slot()
    assert first is not None and second is not None and run_dirs.slot() is None
    os.close(first)
    third = run_dirs.slot()
    assert third is not None
    os.close(second)
    os.close(third)
