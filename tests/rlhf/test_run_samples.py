"""Sample answers are copied from a growing file, whole lines alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf import run_samples
from tests.factories_rlhf import make_run

pytestmark = pytest.mark.django_db


def test_whole_lines_are_copied_once_and_rubbish_is_passed_over(tmp_path: Path) -> None:
    run, path = make_run(status="running"), tmp_path / "samples.jsonl"
    reader = run_samples.Reader(run, path)
    reader.copy()
    good, bad = '{"step": 0, "prompt": "p", "content": "a\\u0000b"}', '{"step": -1, "prompt": "p", "content": ""}'
    path.write_text(f'{good}\nnonsense\n{bad}\n{{"step": 5, "pro')
    reader.copy()
    with path.open("a") as stream:
        stream.write('mpt": "p", "content": "c"}\n')
    reader.copy()
    assert list(run.samples.values_list("step", "content")) == [(0, "ab"), (5, "c")]
