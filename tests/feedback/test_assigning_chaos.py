"""Real processes that do anything to one queue at once, on the database of this pass; then it must be sound."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench._annotators import fill
from bench._common import ROOT
from bench._site import running

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.timeout(600)]
PEOPLE = [f"ann{n}" for n in range(6)]
SECONDS = 8


def test_processes_that_do_anything_at_once_leave_the_queue_sound() -> None:
    with running(os.environ.get("PLUMBLINE_TEST_BACKEND", "")) as site:
        site.make_people([("ada", "admin"), *((name, "annotator") for name in PEOPLE)])
        fill(site, slug="chaos", items=24, overlap=2, annotators=PEOPLE)
        module = [sys.executable, "-m", "tests.feedback.chaos"]
        workers = [
            subprocess.Popen(
                [*module, "work", "chaos", name, str(n), str(SECONDS)], cwd=ROOT, env=site.environment,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for n, name in enumerate(PEOPLE)
        ]  # fmt: skip
        for worker in workers:
            out, errors = worker.communicate(timeout=300)
            assert worker.returncode == 0, errors[-3000:]
            assert int(out) > 5, "a worker that hardly did anything says nothing"
        judged = site.query("SELECT COUNT(*) FROM feedback_judgment")[0][0]
        assert judged > 0
        checked = subprocess.run(
            [*module, "check", "chaos"], cwd=ROOT, env=site.environment, capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stderr[-3000:]
