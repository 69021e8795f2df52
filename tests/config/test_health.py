"""What probes are told."""

from __future__ import annotations

import os
import time

import pytest
from django.conf import settings
from django.test import Client

from config.celery import app, heartbeat_age


@pytest.fixture
def heartbeat():
    path = settings.PLUMBLINE_HOME / "run" / "worker_heartbeat"
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_healthz_needs_no_database(client: Client) -> None:
    assert client.get("/healthz").status_code == 200  # no django_db mark: a query would fail


@pytest.mark.django_db
def test_not_ready_before_a_worker_was_seen(client: Client, heartbeat) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "broker": "ok", "worker": "no worker seen yet"}


@pytest.mark.django_db
def test_ready_while_sweeps_finish(client: Client, heartbeat) -> None:
    heartbeat.touch()
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_not_ready_when_the_sweeps_have_stopped(client: Client, heartbeat) -> None:
    heartbeat.touch()
    os.utime(heartbeat, (time.time() - 300,) * 2)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["worker"].startswith("no worker seen for 300 s")


def test_a_heartbeat_from_the_future_is_as_fresh_as_now(heartbeat) -> None:
    heartbeat.touch()
    assert heartbeat_age(time.time() - 100) == 0.0


def test_metrics_are_prometheus_text(client: Client) -> None:
    assert b"# TYPE" in client.get("/metrics").content


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("rlhf.tasks.run_engine", "train"),
        ("rlhf.tasks.sweep_runs", "default"),
        ("feedback.tasks.sweep", "default"),
    ],
)
def test_only_running_goes_to_the_train_queue(task: str, queue: str) -> None:
    assert app.amqp.router.route({}, task)["queue"].name == queue


def test_tasks_are_acknowledged_early_and_fetched_one_by_one() -> None:
    assert app.conf.task_acks_late is False
    assert app.conf.worker_prefetch_multiplier == 1


def test_pages_get_a_strict_policy_and_the_admin_a_looser_one(client: Client) -> None:
    page = client.get("/healthz")["Content-Security-Policy"]
    assert "unsafe" not in page and "default-src 'self'" in page
    assert "'unsafe-eval'" in client.get("/admin/nowhere")["Content-Security-Policy"]
