"""An engine that has its packages loaded already: each run is a fork of it. For benchmarks of many small runs.

    python -m bench._warm serve SOCKET            load torch and TRL once, then fork for every run directory sent
    python -m bench._warm run SOCKET RUN_DIR      the launcher: hand a directory over, wait, exit with its code
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench._common import ROOT

PRELOADED = ("dpo", "generate", "score", "reward", "pretrain")


class Handler(socketserver.StreamRequestHandler):
    """Runs in a fork of its own: does the job of the directory named and answers with its exit code."""

    def handle(self) -> None:
        from rlhf.engine import job

        run_dir = self.rfile.readline().decode().strip()
        with (Path(run_dir) / "engine.log").open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            try:
                code = job.main([run_dir])
            except BaseException:  # whatever it was, the launcher must see an exit code and the log its cause
                import traceback

                traceback.print_exc()
                code = 1
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(f"{code}\n".encode())


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 8


def serve(path: str) -> None:
    import importlib

    for name in PRELOADED:
        importlib.import_module(f"rlhf.engine.{name}")
    with Server(path, Handler) as server:
        server.serve_forever()


def run(path: str, run_dir: str) -> int:
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(path)
        there.sendall(f"{run_dir}\n".encode())
        answer = there.makefile().readline().strip()
    return int(answer or 1)


@contextlib.contextmanager
def warm(path: Path) -> Iterator[str]:
    """A server for a while; gives the launcher's template."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("PLUMBLINE_SUPERVISED", None)
    server = subprocess.Popen([sys.executable, "-m", "bench._warm", "serve", str(path)], cwd=ROOT, env=environment)
    try:
        for _ in range(1200):
            if path.exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        if server.poll() is not None:
            raise RuntimeError("the warm engine did not start")
        yield f"{sys.executable} -m bench._warm run {path} {{run_dir}}"
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run(sys.argv[2], sys.argv[3]))
