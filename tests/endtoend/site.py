"""A whole site in a home of its own, as `bin/up` runs it: real processes to start, watch and kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent


class Site:
    """`start` and `stop` as a person would; `kill` as a power cut would; `ask` runs Python inside the site."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PLUMBLINE_", "DATABASE_", "REDIS_"))}
        self.environment = {
            **inherited, "PLUMBLINE_HOME": str(home), "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings", **environment,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> None:
        log = (self.home / "up.log").open("ab")
        command = [sys.executable, "-m", "config.supervisor", "--port", str(self.port), "--no-demo", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        log.close()
        wait_for(self.answers, 300, "the first page")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "up.log").read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)

    def kill(self, *words: str) -> int:
        """kill -9 every process of this site whose command line holds all the words; returns how many."""
        victims = self.running(*words)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not words and self.process is not None:
            self.process.wait(timeout=30)
        wait_for(lambda: not victims & self.processes().keys(), 30, "the end of what was killed")  # and of its port
        return len(victims)

    def processes(self) -> dict[int, str]:
        """Process id -> command line of everything that runs on this home (Redis writes over its environment)."""
        mark = f"PLUMBLINE_HOME={self.home}".encode()
        found: dict[int, str] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                marked = mark in (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if line and (marked or f"redis-server unixsocket:{self.home}" in line):
                found[int(folder.name)] = line
        return found

    def running(self, *words: str) -> set[int]:
        """Processes of this site whose command line holds all the words."""
        return {pid for pid, line in self.processes().items() if all(word in line for word in words)}

    def with_library(self, name: str) -> set[int]:
        """Processes of this site that have such a library in their memory."""
        found = set()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if name in Path(f"/proc/{pid}/maps").read_text():
                    found.add(pid)
        return found

    def ask(self, code: str) -> Any:
        """What the code assigns to `answer`, run with the site's settings in a process of its own."""
        program = f"import django, json\ndjango.setup()\n{code}\nprint('\\n' + json.dumps(answer))"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value; AssertionError naming `what` after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
