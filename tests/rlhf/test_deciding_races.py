"""What must hold when a worker dies between vote and decision, and when two decide at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from django.db import connection, connections

from feedback import events
from feedback.models import Event, Prompt
from rlhf import deployments, gates
from rlhf.models import Decision
from tests.factories import make_user
from tests.factories_rlhf import make_ballot, vote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def won() -> Decision:
    """Sixteen straight wins, not read yet."""
    voters = [make_user() for _ in range(3)]
    decision = make_ballot(*voters)
    for n in range(16):
        vote(decision.queue, voters[n % 3], 0)
    return decision


def state(decision: Decision) -> tuple[Any, ...]:
    """(status, alias turned, events of the verdict, prompts used up)."""
    found = Decision.objects.get(pk=decision.pk)
    return (
        found.status,
        deployments.live(found.alias) == found.candidate,
        Event.objects.filter(verb="decision.made").count(),
        Prompt.objects.filter(gate_uses__gt=0).count(),
    )


@pytest.mark.parametrize("at", ["decision.made", "deployment.changed"])
def test_kill_9_between_vote_and_decision_leaves_nothing_half_done_and_the_next_worker_decides(at: str) -> None:
    decision = won()
    before = state(decision)
    connections.close_all()  # a connection must not be shared with the child
    child = os.fork()
    if child == 0:
        _die_at(at, decision)
    _, how = os.waitpid(child, 0)
    assert os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL
    assert state(decision) == before == ("voting", False, 0, 0)
    gates.consume(decision=Decision.objects.get(pk=decision.pk))
    assert state(decision) == ("promoted", True, 1, 16)


def _die_at(verb: str, decision: Decision) -> None:
    """In the child: decide, and kill -9 when the event is about to be written, in the middle of the transaction."""
    real = events.record

    def record(name: str, *args: Any, **more: Any) -> Any:
        if name == verb:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(name, *args, **more)

    try:
        getattr(connection, "_connection_pools", {}).clear()  # PostgreSQL's pool lives in the parent
        events.record = record  # type: ignore[assignment]
        gates.consume(decision=decision)
    finally:
        os._exit(1)


def test_of_two_workers_that_decide_at_once_one_writes() -> None:
    decision = won()
    start = threading.Barrier(4)
    wrong: list[BaseException] = []

    def decide() -> None:
        try:
            mine = Decision.objects.select_related("candidate", "live", "queue").get(pk=decision.pk)
            start.wait(timeout=20)
            gates.consume(decision=mine)
            assert mine.status == "promoted"
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=decide) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert wrong == []
    assert state(decision) == ("promoted", True, 1, 16)
    assert decision.changes.count() == 1
    assert Prompt.objects.filter(gate_uses=1).count() == 16, "used up once, not once a worker"
