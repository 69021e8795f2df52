"""gunicorn's settings. Threads, since a streamed answer holds one until its end."""

from __future__ import annotations

import os
from typing import Any

worker_class = "gthread"
workers = int(os.environ.get("PLUMBLINE_WEB_WORKERS", "2"))
threads = int(os.environ.get("PLUMBLINE_WEB_THREADS", "8"))
timeout = 60
graceful_timeout = 5
no_control_socket = True
preload_app = True  # one load of the code, shared by the workers; nothing connects before the fork
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
errorlog = "-"
loglevel = "warning"


def child_exit(server: Any, worker: Any) -> None:
    """Takes a dead worker's gauges out of /metrics."""
    from prometheus_client import multiprocess

    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)
