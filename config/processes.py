"""Child processes that never outlive us: started in groups of their own, restarted, stopped to the last one.

Linux, standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LONGEST_WAIT = 30.0  # seconds between two tries of a child that keeps dying
SETTLED = 60.0  # a child that lived this long starts again without a wait
MARK = "PLUMBLINE_SUPERVISOR"  # in the environment of every descendant

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Makes orphaned descendants our children, so that they can be found and stopped."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent(parent: int, death: signal.Signals) -> Callable[[], None]:
    def prepare() -> None:  # runs in the child, before exec
        for number in (signal.SIGINT, signal.SIGQUIT):  # ignored, and so inherited, in a shell's background jobs
            signal.signal(number, signal.SIG_DFL)
        _libc.prctl(PR_SET_PDEATHSIG, int(death), 0, 0, 0)
        if os.getppid() != parent:  # the parent died in between
            os._exit(1)

    return prepare


@dataclass
class Child:
    """One supervised process. `forever`: it comes back whenever it ends; else only when it fails."""

    name: str
    command: list[str]
    forever: bool = True
    log: Path | None = None  # None: its output is ours
    environment: Mapping[str, str] = field(default_factory=dict)
    death: signal.Signals = signal.SIGTERM  # what it gets when the supervisor is killed
    grace: float = 10.0  # seconds between SIGTERM and SIGKILL
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0  # when to start it, on the clock of `time.monotonic`
    done: bool = False

    def start(self, now: float) -> None:
        """Starts the process; an OSError (no such binary) is left to the caller."""
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open(self.log, "ab")) if self.log else None
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env={**os.environ, **self.environment},
                process_group=0,
                preexec_fn=_die_with_parent(os.getpid(), self.death),
            )
        self.started = now

    def poll(self, now: float) -> str | None:
        """Looks after the process; a line for people when something happened."""
        if self.done:
            return None
        if self.process is None:
            if now >= self.due:
                self.start(now)
            return None
        code = self.process.poll()
        return None if code is None else self._ended(code, now)

    def _ended(self, code: int, now: float) -> str | None:
        lived, self.process = now - self.started, None
        if code == 0 and not self.forever:
            self.done = True
            return None
        self.failures = 1 if lived > SETTLED else self.failures + 1
        wait = backoff(self.failures)
        self.due = now + wait
        return f"{self.name} ended ({describe(code)}) after {lived:.0f} s; again in {wait:.0f} s{self._where()}"

    def _where(self) -> str:
        return f" (see {self.log})" if self.log else ""


def backoff(failures: int) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4 ... 30."""
    return min(LONGEST_WAIT, 2.0 ** (failures - 1))


def describe(code: int) -> str:
    """An exit code in words: a negative one is a signal."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def stop(children: Iterable[Child], say: Callable[[str], None] = lambda line: None) -> None:
    """SIGTERM to each, SIGKILL to the group of whoever outstays its grace."""
    running = [child for child in children if child.process is not None and child.process.poll() is None]
    begun = time.monotonic()
    for child in running:
        send(child.process.pid, signal.SIGTERM)  # type: ignore[union-attr]
    while running:
        time.sleep(0.05)
        running = [child for child in running if child.process.poll() is None]  # type: ignore[union-attr]
        for child in running:
            if time.monotonic() - begun > child.grace:
                say(f"{child.name} did not stop in {child.grace:.0f} s and was killed")
                send(-child.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
                child.process.wait()  # type: ignore[union-attr]


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process, or to a group when negative; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def sweep_away(pids: Iterable[int], patience: float = 3.0) -> None:
    """SIGTERM, then SIGKILL, to processes that need not be our children, until they are gone."""
    left = set(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            send(pid, number)
        end = time.monotonic() + patience
        while left and time.monotonic() < end:
            reap(left)
            left = {pid for pid in left if is_running(pid)}
            time.sleep(0.05)


def reap(pids: Iterable[int]) -> None:
    """Clears away adopted processes that have ended."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def is_running(pid: int) -> bool:
    state = _stat(pid)
    return state is not None and state[0] not in "ZX"


def descendants(root: int) -> set[int]:
    """All processes below root, from /proc."""
    parents = {pid: stat[1] for pid in _pids() if (stat := _stat(pid)) is not None}
    found: set[int] = set()
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level} - found
        found |= level
    return found


def zombies(parent: int) -> set[int]:
    """Ended children of parent that nobody has waited for."""
    stats = {pid: _stat(pid) for pid in _pids()}
    return {pid for pid, stat in stats.items() if stat is not None and stat[0] == "Z" and stat[1] == parent}


def leftovers(home: Path) -> set[int]:
    """Processes that an earlier supervisor of this home started and that outlived it."""
    ours = f"PLUMBLINE_HOME={home}".encode()
    return {pid for pid in _pids() if pid not in _lineage() and _is_left_over(pid, ours)}


def _is_left_over(pid: int, ours: bytes) -> bool:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return ours in entries and any(entry.startswith(f"{MARK}=".encode()) for entry in entries)


def _lineage() -> set[int]:
    """This process and its ancestors."""
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        stat = _stat(pid)
        pid = stat[1] if stat else 0
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, parent) of a process; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = text[text.rindex(")") + 2 :].split()[:2]  # the name in brackets may hold anything
    return state, int(parent)
