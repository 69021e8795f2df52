"""Runs whose engine does what a script says (tests/rlhf/scripted_engine.py), for whoever supervises them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf import runs, supervising
from rlhf.models import Run

ENGINE = Path(__file__).parent / "scripted_engine.py"


@pytest.fixture
def scripted(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The launcher starts the scripted engine, in a home of the test's own."""
    settings.PLUMBLINE_HOME = tmp_path / "home"
    settings.PLUMBLINE_ARTIFACTS = tmp_path / "artifacts"
    settings.PLUMBLINE_ARTIFACTS.mkdir()
    (settings.PLUMBLINE_HOME / "run").mkdir(parents=True)
    settings.PLUMBLINE_LAUNCHER = f"{{python}} {ENGINE} {{run_dir}}"
    monkeypatch.setattr(supervising, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(supervising, "engine_missing", lambda: "")
    yield


def ordered(**script: Any) -> Run:
    """A `convert` run (it needs no inputs) whose engine does what the script says."""
    run = runs.start(kind="convert", base="toy")
    folder = runs.run_dir(run)
    folder.mkdir(parents=True)
    (folder / "script.json").write_text(json.dumps(script))
    return run


def carried_out(run: Run) -> Run:
    runs.execute(run_id=run.pk)
    run.refresh_from_db()
    return run
