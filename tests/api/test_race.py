"""Sixteen programs at once on one queue, through the real server: overlap is exact, nothing is lost or doubled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench._annotators import Tally, fill, work
from bench._site import Site, running

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.timeout(600)]

ANNOTATORS = [f"ann{n}" for n in range(16)]
ITEMS = 60


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server on the database that this pass of the tests uses."""
    with running(os.environ.get("PLUMBLINE_TEST_BACKEND", "")) as found:
        found.make_people([("ada", "admin"), *((name, "annotator") for name in ANNOTATORS)])
        yield found


@dataclass
class Raced:
    slug: str
    overlap: int
    tally: Tally


@pytest.fixture(scope="module", params=[1, 3], ids=["overlap-1", "overlap-3"])
def raced(site: Site, request: pytest.FixtureRequest) -> Raced:
    """A queue that sixteen people emptied; every fifth judgment was sent twice with its key."""
    slug = f"race-{request.param}"
    fill(site, slug=slug, items=ITEMS, overlap=request.param, annotators=ANNOTATORS)
    return Raced(slug, request.param, work(site, slug=slug, annotators=ANNOTATORS, repeat=0.2))


def test_sixteen_annotators_fill_every_seat_exactly_once(site: Site, raced: Raced) -> None:
    votes = site.query(
        "SELECT j.item_id, COUNT(*), COUNT(DISTINCT j.author_id), COUNT(DISTINCT j.assignment_id) "
        "FROM feedback_judgment j JOIN feedback_queue q ON q.id = j.queue_id "
        f"WHERE q.slug = '{raced.slug}' AND j.withdrawn_at IS NULL GROUP BY j.item_id"
    )
    assert len(votes) == ITEMS
    assert {row[1:] for row in votes} == {(raced.overlap, raced.overlap, raced.overlap)}


def test_nobody_sees_an_error_and_a_repeated_judgment_counts_once(site: Site, raced: Raced) -> None:
    assert raced.tally.errors == [], site.said()
    assert raced.tally.repeats > 0, "some submissions were sent twice, or this test says nothing about them"
    assert len(set(raced.tally.judgments)) == len(raced.tally.judgments) == ITEMS * raced.overlap


@pytest.mark.parametrize("raced", [3], indirect=True)
def test_the_first_two_seats_of_an_item_show_opposite_orders(site: Site, raced: Raced) -> None:
    rows = site.query(
        'SELECT a.item_id, s.number, CAST(a."order" AS TEXT) FROM feedback_assignment a '
        "JOIN feedback_seat s ON s.id = a.seat_id JOIN feedback_queue q ON q.id = a.queue_id "
        f"WHERE q.slug = '{raced.slug}' AND a.status = 'judged' AND s.number IN (1, 2)"
    )
    shown: dict[int, dict[int, str]] = {}
    for item, number, order in rows:
        shown.setdefault(item, {})[number] = order.replace(" ", "")
    assert len(shown) == ITEMS
    assert all({pair[1], pair[2]} == {"[0,1]", "[1,0]"} for pair in shown.values())
