"""`bin/up`: starts everything one machine needs, keeps it running, and ends with all of it.

Standard library only: it runs before Django is known to work. Children write to PLUMBLINE_HOME/logs.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from urllib.parse import quote

from config import private_redis, processes
from config.bootstrap import GROUPS, ROOT, Trouble, is_fresh
from config.processes import Child

TICK = 0.2  # seconds
LARGEST_LOG = 10 * 2**20
BACKGROUND_GROUPS = ["train", "models"]  # installed while the first page is already served


def main(arguments: list[str]) -> int:
    """Runs until a signal; 0 after an orderly stop, 1 with one line when it cannot start."""
    begun = time.monotonic()
    try:
        options = parse(arguments)
        home = prepare_home()
        with only_one(home):
            check_port(options.host, options.port)
            return Supervisor(home, options, begun).run()
    except Trouble as trouble:
        print(f"plumbline: {trouble}", file=sys.stderr)
        return 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/up", description="Starts Plumbline on this machine.")
    parser.add_argument("--port", default=os.environ.get("PORT") or "8000", help="default: PORT, or 8000")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--no-demo", action="store_true", help="no demo workspace in an empty database")
    parser.add_argument("--simulate", action="store_true", help="simulated annotators close the loop once")
    options = parser.parse_args(arguments)
    if not options.port.isdecimal() or not 1 <= int(options.port) <= 65535:
        raise Trouble(f"port {options.port!r} must be a number from 1 to 65535.")
    options.port = int(options.port)
    if options.simulate and options.no_demo:
        raise Trouble("--simulate needs the demo workspace; leave out --no-demo.")
    return options


def prepare_home() -> Path:
    """PLUMBLINE_HOME, absolute, with its directories."""
    home = Path(os.environ.get("PLUMBLINE_HOME") or ROOT / "var").expanduser().resolve()
    try:
        for name in ("run", "logs"):
            (home / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"PLUMBLINE_HOME={str(home)!r} cannot be used: {error.strerror}.")
    return home


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Holds the home's lock; a second supervisor on the same home is refused."""
    with open(home / "run" / "supervisor.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Trouble(f"already running on {home} (process {file.read().strip() or 'unknown'}).")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def check_port(host: str, port: int) -> None:
    """Raises Trouble when the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise Trouble(f"port {port} may not be used by this user; choose one above 1023 with --port.")
        except OSError as error:
            if error.errno == 98:
                raise Trouble(f"port {port} is taken; choose another with --port.")
            raise Trouble(f"{host}:{port} cannot be used: {error.strerror}.")


class Stopped(Exception):
    """A signal asked us to end."""


class Supervisor:
    """Everything that one `bin/up` started, in order."""

    def __init__(self, home: Path, options: argparse.Namespace, begun: float) -> None:
        self.home, self.options, self.begun = home, options, begun
        self.url = f"http://{browsable(options.host)}:{options.port}/"
        self.children: list[Child] = []

    def run(self) -> int:
        processes.adopt_orphans()
        processes.sweep_away(processes.leftovers(self.home))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._set_environment()
        try:
            self._start_redis()
            self._prepare_site()
            self._start(self._web())
            if not self.options.no_demo:
                self._manage("seed_demo", quiet=False)  # while the web process is loading
            for child in self._background():
                self._start(child)
            self._watch()
        except Stopped:
            say("stopping")
        finally:
            self._stop()
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # stopping has begun; it is bounded in time
        raise Stopped

    def _set_environment(self) -> None:
        """What every child inherits; a file says whether the machine is being stopped."""
        run = self.home / "run"
        for name in ("stopping", "worker_heartbeat", "packages.json"):  # of an earlier life
            (run / name).unlink(missing_ok=True)
        metrics = run / "prometheus"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        os.environ |= {
            "PLUMBLINE_HOME": str(self.home),
            "PORT": str(self.options.port),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "PYTHONUNBUFFERED": "1",
            processes.MARK: uuid.uuid4().hex,
        }
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small heads: a second thread only spins
        os.environ.setdefault("PLUMBLINE_URL", self.url.rstrip("/"))
        os.environ.setdefault("PLUMBLINE_DEMO", "0" if self.options.no_demo else "1")

    # --- before the first page -------------------------------------------------------------------------

    def _start_redis(self) -> None:
        """Uses REDIS_URL when there is one, else starts a private server and notes its address."""
        (self.home / "run" / "redis_url").unlink(missing_ok=True)
        url = os.environ.get("REDIS_URL")
        if url:
            if not private_redis.is_reachable(url):
                raise Trouble("nothing answers at REDIS_URL; start that Redis, or unset it for a private one.")
            return
        path = private_redis.choose_socket(self.home)
        if private_redis.ask(path):  # one that outlived a killed supervisor: it saves and ends
            private_redis.ask(path, "SHUTDOWN")
        binary = private_redis.find_binary(self.home)
        redis = self._child("redis", private_redis.command(binary, self.home, path))
        self._start(redis)
        self._wait_for_redis(redis, path)
        url = f"redis+socket://{quote(str(path))}"
        os.environ["REDIS_URL"] = url
        (self.home / "run" / "redis_url").write_text(url)  # so that bin/manage finds it

    def _wait_for_redis(self, redis: Child, path: Path) -> None:
        end = time.monotonic() + 20
        while not private_redis.ask(path).startswith("+PONG"):
            assert redis.process is not None
            if redis.process.poll() is not None or time.monotonic() > end:
                raise Trouble(f"Redis did not start: {last_line(redis.log)} (see {redis.log})")
            time.sleep(0.05)

    def _prepare_site(self) -> None:
        """Tables and static files."""
        self._manage("migrate", "--noinput", "--verbosity", "0")
        if self._static_stamp() != read(self.home / "run" / "static_stamp"):
            self._manage("collectstatic", "--noinput", "--verbosity", "0")
            (self.home / "run" / "static_stamp").write_text(self._static_stamp())

    def _manage(self, *arguments: str, quiet: bool = True) -> None:
        """Runs a management command to its end; its failure is ours, told in its last line."""
        log = self.home / "logs" / f"{arguments[0]}.log"
        log.unlink(missing_ok=True)
        step = self._child(arguments[0], [sys.executable, "manage.py", *arguments])
        step.log = log if quiet else None
        self._start(step)
        assert step.process is not None
        code = step.process.wait()
        self.children.remove(step)
        if code != 0:
            reason = f"{last_line(log)} (see {log})" if quiet else processes.describe(code)
            raise Trouble(f"{arguments[0]} failed: {reason}")

    def _static_stamp(self) -> str:
        """Changes when a static file of ours or the list of packages does."""
        files = sorted(path for app in ("feedback", "rlhf", "api") for path in (ROOT / app / "static").rglob("*"))
        facts = [f"{path} {path.stat().st_mtime_ns}" for path in files]
        facts.append((ROOT / "requirements" / "web.txt").read_text())
        facts.append(str((self.home / "staticfiles").is_dir()))
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    # --- what runs -------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        self.children.append(child)
        child.start(time.monotonic())

    def _web(self) -> Child:
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        bind = ["--bind", f"{host}:{self.options.port}"]
        return self._child("web", [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", *bind, "config.wsgi"])

    def _background(self) -> list[Child]:
        celery = [sys.executable, "-m", "celery", "-A", "config.celery"]
        worker = [*celery, "worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        beat = [*celery, "beat", "--loglevel", "WARNING", "--pidfile", ""]
        children = [
            self._child("default worker", [*worker, "-Q", "default", "-c", "2", "-n", "default@%h"]),
            self._child("train worker", [*worker, "-Q", "train", "-c", "1", "-n", "train@%h"], grace=25.0),
            self._child("beat", beat),
            self._child("engines", [sys.executable, "manage.py", "serve_engines"]),
        ]
        if not all(is_fresh(ROOT, GROUPS[name]) for name in BACKGROUND_GROUPS):
            install = [sys.executable, "-m", "config.bootstrap", *BACKGROUND_GROUPS]
            children.append(Child("packages", install, forever=False))
        return children

    def _child(self, name: str, command: list[str], grace: float = 10.0) -> Child:
        """A child with a log. If we are killed Celery gets SIGQUIT: on SIGTERM it would wait for its tasks."""
        log = self.home / "logs" / f"{name.replace(' ', '-')}.log"
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        death = signal.SIGQUIT if "celery" in command else signal.SIGTERM
        return Child(name, command, log=log, death=death, grace=grace)

    def _watch(self) -> None:
        """Looks after the children until a signal; says the address once the page answers."""
        announced = False
        while True:
            now = time.monotonic()
            for child in self.children:
                line = child.poll(now)
                if line:
                    say(line)
            if not announced and answers(self.options.host, self.options.port):
                announced = True
                self._announce()
            processes.reap(processes.zombies(os.getpid()) - self._own_pids())
            time.sleep(TICK)

    def _announce(self) -> None:
        say(f"open {self.url}  (started in {time.monotonic() - self.begun:.1f} s; Ctrl-C stops everything)")
        if self.options.simulate:
            command = [sys.executable, "manage.py", "simulate_demo", "--url", self.url]
            self.children.append(Child("simulate", command, forever=False))

    def _own_pids(self) -> set[int]:
        return {child.process.pid for child in self.children if child.process is not None}

    def _stop(self) -> None:
        """The workers first, so that they can still write what they did; Redis last."""
        (self.home / "run" / "stopping").touch()
        redis = [child for child in self.children if child.name == "redis"]
        processes.stop([child for child in self.children if child not in redis], say)
        processes.stop(redis, say)
        processes.sweep_away(processes.descendants(os.getpid()))
        (self.home / "run" / "redis_url").unlink(missing_ok=True)


def browsable(host: str) -> str:
    """The address to open in a browser."""
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def answers(host: str, port: int) -> bool:
    """Whether /healthz answers 200."""
    connection = http.client.HTTPConnection(browsable(host).strip("[]"), port, timeout=2)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"127.0.0.1:{port}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def say(line: str) -> None:
    print(f"plumbline: {line}", flush=True)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def last_line(log: Path | None) -> str:
    """The last line that a child wrote: with a traceback, the one that names the error."""
    lines = read(log).split("\n") if log else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
