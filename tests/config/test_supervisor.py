"""`bin/up`: refuses in one line, starts, comes back, and leaves nothing."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import processes, supervisor
from config.bootstrap import Trouble

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(Trouble, match="is taken; choose another with --port"):
            supervisor.check_port("127.0.0.1", holder.getsockname()[1])


@pytest.mark.parametrize("word", ["0", "65536", "http", "-1x"])
def test_a_port_that_is_none_is_one_line(word: str) -> None:
    with pytest.raises(Trouble, match="1 to 65535"):
        supervisor.parse([f"--port={word}"])


def test_simulated_people_need_the_demo() -> None:
    with pytest.raises(Trouble, match="--no-demo"):
        supervisor.parse(["--simulate", "--no-demo"])


def test_two_supervisors_on_one_home_refuse(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with supervisor.only_one(tmp_path):
        with pytest.raises(Trouble, match=f"process {os.getpid()}"):
            with supervisor.only_one(tmp_path):
                pass
    with supervisor.only_one(tmp_path):
        pass


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLUMBLINE_HOME", str(tmp_path / "file"))
    with pytest.raises(Trouble, match="PLUMBLINE_HOME"):
        supervisor.prepare_home()


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("10.0.0.2", "10.0.0.2")])
def test_the_address_to_open_is_one_a_browser_can_open(host: str, shown: str) -> None:
    assert supervisor.browsable(host) == shown


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# --- the real thing --------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(home: Path, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A supervisor on a home and port of its own; killed with all below it if a test fails."""
    environment = os.environ | {"PLUMBLINE_HOME": str(home)} | environment
    for name in ("REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PORT", "SECRET_KEY"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "config.supervisor", "--port", str(port), "--no-demo"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        processes.sweep_away(processes.leftovers(home))


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def wait_for(port: int, path: str, seconds: float) -> float:
    """Seconds until the path answers 200."""
    begun = time.monotonic()
    while get(port, path) != 200:
        assert time.monotonic() - begun < seconds, f"{path} did not answer 200 in {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - begun


def redis_pid(home: Path) -> int:
    return int((home / "run" / "redis.pid").read_text())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_starts_survives_a_kill_and_leaves_nothing(tmp_path: Path, port: int) -> None:
    with running(tmp_path, port) as first:
        wait_for(port, "/readyz", 120)
        redis = redis_pid(tmp_path)
        os.kill(redis, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while redis_pid(tmp_path) == redis or not processes.is_running(redis_pid(tmp_path)):
            assert time.monotonic() < deadline, "Redis did not come back"
            time.sleep(0.2)
        below = processes.descendants(first.pid)
        assert len(below) >= 7  # redis, gunicorn and 2, workers and pools, beat
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        assert [pid for pid in below if processes.is_running(pid)] == []
    with running(tmp_path, port) as second:
        # Aim: 15 s on an idle machine; the suite shares its cores.
        assert wait_for(port, "/healthz", 60) < 60
        wait_for(port, "/readyz", 120)
        below = processes.descendants(second.pid)
        second.kill()
        deadline = time.monotonic() + 60
        while left := {pid: command_line(pid) for pid in below if processes.is_running(pid)}:
            assert time.monotonic() < deadline, f"outlived a killed supervisor: {left}"
            time.sleep(0.2)
    with running(tmp_path, port) as third:
        wait_for(port, "/readyz", 120)
        third.send_signal(signal.SIGINT)
        assert third.wait(60) == 0


@pytest.mark.slow
def test_a_bad_setting_ends_the_start_with_one_line(tmp_path: Path, port: int) -> None:
    environment = os.environ | {"PLUMBLINE_HOME": str(tmp_path), "DEBUG": "perhaps"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "config.supervisor", "--port", str(port), "--no-demo"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "DEBUG" in done.stderr
