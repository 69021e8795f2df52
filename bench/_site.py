"""A Plumbline of its own for a while: a temporary home and database, the real server, people with tokens."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from bench._common import ROOT

START_SECONDS = 60
MAKE_PEOPLE = """
import json
from api import tokens
from feedback.models import User
made = dict()
for name, role in json.loads({people!r}):
    user = User.objects.create(username=name, role=role, password="!")
    made[name] = tokens.create(user=user)[1]
print(json.dumps(made))
"""


@dataclass
class Site:
    """A running server: its address, its database, and the tokens of its people."""

    url: str
    database: str
    environment: dict[str, str]
    log: Path
    tokens: dict[str, str] = field(default_factory=dict)
    server: int = 0  # process id

    def client(self, name: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[name]}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60, trust_env=False)

    def manage(self, *words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words[:1])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def make_people(self, people: list[tuple[str, str]]) -> None:
        """Accounts of (name, role), each with a token."""
        script = MAKE_PEOPLE.format(people=json.dumps(people))
        self.tokens.update(json.loads(self.manage("shell", "--no-imports", "-c", script).splitlines()[-1]))

    def cpu_seconds(self) -> float:
        """Processor time that the web processes have used: says more than a rate on a busy machine."""
        workers = psutil.Process(self.server).children(recursive=True)
        return sum(sum(worker.cpu_times()[:2]) for worker in workers)

    def said(self) -> str:
        """The end of what the server wrote: its errors."""
        return self.log.read_text(errors="replace")[-3000:]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows straight from the database, past all our code."""
        if self.database.startswith("sqlite"):
            with closing(sqlite3.connect(self.database.removeprefix("sqlite:///"))) as connection:
                return connection.execute(sql).fetchall()
        import psycopg

        with psycopg.connect(self.database) as connection:
            return connection.execute(sql).fetchall()


@contextmanager
def running(server: str = "", *, workers: int = 2, threads: int = 8) -> Iterator[Site]:
    """A site on SQLite, or on a new database of the PostgreSQL `server` (a URL); nothing of it stays."""
    home = Path(tempfile.mkdtemp(prefix="plumbline-site-"))
    with _database(server, home) as database:
        url = f"http://127.0.0.1:{_free_port()}"
        site = Site(url, database, _environment(home, database, workers, threads), home / "web.log")
        try:
            site.manage("migrate", "--verbosity", "0")
            with _serving(site):
                yield site
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path, database: str, workers: int, threads: int) -> dict[str, str]:
    own = {
        "PLUMBLINE_HOME": str(home), "DATABASE_URL": database, "REDIS_URL": "", "LOG_LEVEL": "ERROR",
        "PLUMBLINE_WEB_WORKERS": str(workers), "PLUMBLINE_WEB_THREADS": str(threads), "OMP_NUM_THREADS": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    return inherited | own


@contextmanager
def _database(server: str, home: Path) -> Iterator[str]:
    if not server:
        yield f"sqlite:///{home / 'site.sqlite3'}"
        return
    import psycopg

    name = f"plumbline_site_{os.getpid()}_{time.time_ns() % 10**6}"
    parts = urlsplit(server)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield parts._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _serving(site: Site) -> Iterator[None]:
    bind = site.url.removeprefix("http://")
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "--bind", bind, "config.wsgi"]
    with site.log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=output, stderr=output)
        site.server = server.pid
        try:
            _wait(site, server)
            yield
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(site: Site, server: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 10):
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{site.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{site.said()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
