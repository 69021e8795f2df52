"""Supervision: a dead child comes back, ever more slowly; nothing outlives us."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import processes
from config.processes import Child, backoff

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Makes children out of Python code, and kills what a failed test left."""
    made: list[Child] = []

    def make(code: str, **fields: object) -> Child:
        made.append(Child("dummy", [sys.executable, "-c", code], **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def ended(child: Child) -> Child:
    assert child.process is not None
    child.process.wait(10)
    return child


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    assert [backoff(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_dead_child_comes_back_after_its_wait_and_not_before(child: Callable[..., Child]) -> None:
    dummy = child("import sys; sys.exit(3)")
    dummy.start(100.0)
    line = ended(dummy).poll(100.5)
    assert line is not None and "exit code 3" in line and "again in 1 s" in line
    dummy.poll(101.4)
    assert dummy.process is None
    dummy.poll(101.5)
    assert dummy.process is not None
    assert "again in 2 s" in str(ended(dummy).poll(102.0))


def test_a_child_that_had_settled_starts_again_at_the_shortest_wait(child: Callable[..., Child]) -> None:
    dummy = child("pass", failures=5)
    dummy.start(0.0)
    assert "again in 1 s" in str(ended(dummy).poll(processes.SETTLED + 1))


def test_a_child_with_an_end_is_not_started_again(child: Callable[..., Child]) -> None:
    dummy = child("pass", forever=False)
    dummy.start(0.0)
    assert ended(dummy).poll(1.0) is None
    dummy.poll(100.0)
    assert dummy.done and dummy.process is None


def test_a_signal_is_named(child: Callable[..., Child]) -> None:
    dummy = child("import time; time.sleep(60)")
    dummy.start(0.0)
    assert dummy.process is not None
    dummy.process.kill()
    assert "SIGKILL" in str(ended(dummy).poll(1.0))


def test_a_child_that_ignores_sigterm_is_killed_with_its_group(child: Callable[..., Child], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(pid_file)!r}, 'w').write(str(inner.pid)); time.sleep(60)"
    )
    dummy = child(code, grace=0.5)
    dummy.start(time.monotonic())
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    said: list[str] = []
    processes.stop([dummy], said.append)
    assert dummy.process is not None and dummy.process.returncode == -signal.SIGKILL
    assert "was killed" in said[0]
    wait_until(lambda: not processes.is_running(int(pid_file.read_text())))


def run_and_read(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


SLEEPER = "[sys.executable, '-c', 'import time; time.sleep(60)']"


def test_children_die_when_the_supervisor_is_killed() -> None:
    code = (
        "import sys, time; from config.processes import Child;"
        f"child = Child('dummy', {SLEEPER}); child.start(0.0);"
        "print(child.process.pid, flush=True); time.sleep(60)"
    )
    supervisor = run_and_read(code)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert processes.is_running(pid)
    supervisor.kill()
    supervisor.communicate()
    wait_until(lambda: not processes.is_running(pid))


def test_a_grandchild_in_a_session_of_its_own_is_found_and_stopped() -> None:
    silent = "start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
    middle = f"import subprocess, sys; print(subprocess.Popen({SLEEPER}, {silent}).pid, flush=True)"
    code = (
        "import os, subprocess, sys; from config import processes; processes.adopt_orphans();"
        f"done = subprocess.run([sys.executable, '-c', {middle!r}], capture_output=True, text=True);"
        "pid = int(done.stdout); found = processes.descendants(os.getpid());"
        "processes.sweep_away(found); print(pid in found, processes.is_running(pid))"
    )
    supervisor = run_and_read(code)
    assert supervisor.communicate(timeout=30)[0].split() == ["True", "False"]


def test_what_outlived_an_earlier_supervisor_of_this_home_is_found(tmp_path: Path) -> None:
    marked = {"PLUMBLINE_HOME": str(tmp_path), processes.MARK: "earlier"}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=marked, stdin=subprocess.PIPE) as left:
        wait_until(lambda: left.pid in processes.leftovers(tmp_path))
        assert processes.leftovers(tmp_path / "other") == set()
        left.kill()
