"""Why an engine ended, in plain words, from its exit code and the end of its log (no Django)."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from rlhf.spec import EXIT_DONE, EXIT_LOCKED, EXIT_STOPPED, EXIT_USER_ERROR

OWN_CODES = (EXIT_DONE, EXIT_STOPPED, EXIT_USER_ERROR, EXIT_LOCKED)
KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}  # the second by way of a shell or torchrun
CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
MEMORY_HELP = (
    "a smaller batch_size or max_length needs less, and so does another precision; PLUMBLINE_RUN_MEMORY_MB is the limit"
)


@dataclass(frozen=True)
class Reason:
    """`code` for programs, `message` for people; `again`: whether trying once more may end otherwise."""

    code: str
    message: str
    again: bool = True


@dataclass(frozen=True)
class _Sign:
    code: str
    pattern: re.Pattern[str]
    message: str  # filled in with the pattern's groups
    again: bool = False


SIGNS = [
    _Sign(
        "out_of_memory",
        re.compile(
            r"MemoryError|OutOfMemoryError|out of memory|can't allocate memory|Cannot allocate memory|bad_alloc|"
            r"failed to allocate|Unable to allocate",
        ),
        f"The run needed more memory than there is: {MEMORY_HELP}.",
    ),
    _Sign(
        "disk_full",
        re.compile(r"No space left on device|Disk quota exceeded|File too large"),
        "The disk is full: free some space, then go on from the last checkpoint.",
    ),
    _Sign(
        "missing_module",
        re.compile(r"ModuleNotFoundError: No module named '([^']+)'"),
        "The Python package {0} is not installed where the run ran.",
    ),
    _Sign(
        "damaged_weights",
        re.compile(r"SafetensorError: (.+)"),
        "A weights file is damaged or cut short ({0}).",
    ),
    _Sign(
        "wrong_base",
        re.compile(r"size mismatch for (\S+)"),
        "The adapter does not fit this base model (the shapes of {0} differ).",
    ),
    _Sign(
        "wrong_base",
        re.compile(r"Unrecognized model in|does not recognize this architecture|Unrecognized configuration class"),
        "The base is not a language model that transformers knows.",
    ),
]


def told_code(code: int, folder: Path, attempt: int) -> int:
    """The engine's own exit code: launchers such as torchrun make 1 of every failure, so it is in exit.json too."""
    if code in OWN_CODES:
        return code
    try:
        told = json.loads((folder / "exit.json").read_text())
    except (OSError, ValueError):
        return code
    own = isinstance(told, dict) and told.get("attempt") == attempt and told.get("code") in OWN_CODES
    return int(told["code"]) if own else code


def moved_on(folder: Path, steps: int, code: int) -> bool:
    """Whether more steps were reached than at the last crash in this directory; notes how far a crash came."""
    note = folder / "crashed_at"
    try:
        before = int(note.read_text())
    except (OSError, ValueError):
        before = 0
    if code not in OWN_CODES:
        with contextlib.suppress(OSError):
            note.write_text(str(steps))
    return steps > before


def explain(code: int, log: str, *, memory_kills: int = 0) -> Reason:
    """What an exit code that says nothing by itself means, from the log of this attempt alone.

    `memory_kills`: how many processes the kernel killed for memory in this control group meanwhile.
    """
    for sign in SIGNS:
        if found := sign.pattern.search(log):
            return Reason(sign.code, sign.message.format(*found.groups()), sign.again)
    if code in KILLED:
        if memory_kills:
            return Reason("out_of_memory", f"The system killed the engine for want of memory: {MEMORY_HELP}.")
        return Reason("killed", "The engine was killed (SIGKILL), often for want of memory.")
    return Reason("crash", f"The engine ended unexpectedly ({_words(code, log)}).")


def _words(code: int, log: str) -> str:
    how = f"signal {signal.Signals(-code).name}" if -64 < code < 0 else f"exit code {code}"
    error = last_error(log)
    return f"{how}: {error}" if error else how


def last_error(log: str) -> str:
    """The line of the last traceback that names the error ("" without one)."""
    _, found, tail = log.rpartition("Traceback (most recent call last)")
    lines = [line for line in tail.splitlines() if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b", line)]
    return lines[0][:300] if found and lines else ""


def memory_kills() -> int:
    """How often the kernel has killed a process of this control group for memory so far; 0 where it does not say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", CGROUP_EVENTS.read_text(), re.M)
    except OSError:
        return 0
    return int(found[1]) if found else 0
