from __future__ import annotations

import pytest

from feedback.errors import Conflict, StaleTransition
from feedback.lifecycle import EDGES, advance
from feedback.models import Queue
from tests.factories import make_queue

pytestmark = pytest.mark.django_db


def test_every_edge_leads_to_a_state_that_exists() -> None:
    for thing, edges in EDGES.items():
        assert {to for targets in edges.values() for to in targets} <= set(edges), thing


def test_an_edge_that_is_not_drawn_is_refused() -> None:
    queue = make_queue(status="draft")
    with pytest.raises(Conflict, match="draft cannot become paused"):
        advance(queue, "paused")


def test_the_second_of_two_movers_is_told_that_the_row_has_moved() -> None:
    queue = make_queue(status="draft")
    twin = Queue.objects.get(pk=queue.pk)
    advance(queue, "open")
    with pytest.raises(StaleTransition):
        advance(twin, "open")
    assert Queue.objects.get(pk=queue.pk).status == "open"
