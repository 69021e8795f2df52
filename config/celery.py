"""The Celery app: two queues, early acknowledgement, and the beat that sweeps.

The row is the job and the message only wakes someone, so messages are acknowledged early and a lost one
costs at most one sweep.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_success
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

SWEEP_SECONDS = 5.0
SWEEPS = [
    "feedback.tasks.sweep",
    "feedback.tasks.settle_judgments",
    "feedback.tasks.sweep_imports",
    "rlhf.tasks.sweep_runs",
    "rlhf.tasks.sweep_decisions",
    "rlhf.tasks.tick_loops",
    "api.tasks.send_webhooks",
]

app = Celery("plumbline")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "global_keyprefix": f"{settings.PLUMBLINE_KEY_PREFIX}:",
        "socket_connect_timeout": 1,
    },
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    task_publish_retry=False,  # a dead broker must answer at once; the sweep does the rest
    task_default_queue="default",
    task_routes={"rlhf.tasks.run_*": {"queue": "train"}},
    beat_schedule_filename=str(settings.PLUMBLINE_HOME / "run" / "beat"),
    beat_schedule={
        # `expires`: sweeps that waited while no worker ran are worth nothing.
        name: {"task": name, "schedule": SWEEP_SECONDS, "options": {"expires": 2 * SWEEP_SECONDS}}
        for name in SWEEPS
    }
    | {"retention": {"task": "feedback.tasks.drop_expired", "schedule": 3600.0}},
    worker_hijack_root_logger=False,
    timezone="UTC",
)
app.autodiscover_tasks(["feedback", "rlhf", "api"])


@setup_logging.connect
def _use_djangos_logging(**kwargs: Any) -> None:
    from logging.config import dictConfig

    dictConfig(settings.LOGGING)


@task_success.connect
def _note_heartbeat(sender: Any = None, **kwargs: Any) -> None:
    """A finished sweep proves that beat, the broker and a worker all work; /readyz looks at the file."""
    if sender is not None and sender.name in SWEEPS:
        (settings.PLUMBLINE_HOME / "run" / "worker_heartbeat").touch()


def heartbeat_age(now: float) -> float | None:
    """Seconds since a worker last finished a sweep; None when none ever did."""
    path = settings.PLUMBLINE_HOME / "run" / "worker_heartbeat"
    return max(0.0, now - path.stat().st_mtime) if path.exists() else None
