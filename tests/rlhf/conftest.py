"""A tiny model for whoever needs a real one: pretrained once a session, in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rlhf.engine.runs import make_run, work

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # several test runs on few cores would spin


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a 1.9M-parameter chat model that has half learnt the toy corpus."""
    run_dir = make_run(tmp_path_factory.mktemp("tiny") / "run", "pretrain", {"steps": 120})
    assert work(run_dir) == 0
    return run_dir / "out"
