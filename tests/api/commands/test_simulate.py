"""`simulate` over real HTTP: marked, counted, and nothing left behind."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from api.models import Token
from feedback.models import Assignment, Judgment, Membership, User
from tests.factories import make_item, make_member, make_queue, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def simulate(live_server, slug: str, *args: str) -> str:
    out = io.StringIO()
    options = ["--queue", slug, "--reward", "polite_tiny", "--url", live_server.url, *args]
    call_command("simulate", *options, stdout=out)
    return out.getvalue()


def test_every_item_is_judged_once_and_marked_as_simulated(live_server):
    queue = make_queue("demo", demo=True)
    items = [make_item(queue) for _ in range(12)]
    said = simulate(live_server, "demo", "--annotators", "3")
    judgments = Judgment.objects.all()
    assert sorted(j.item_id for j in judgments) == sorted(item.pk for item in items)
    assert {j.author_kind for j in judgments} == {"simulated"}
    assert {m.kind for m in Membership.objects.all()} == {"simulated"}
    assert said.startswith("12 simulated judgments")
    assert "decide nothing" not in said


def test_the_number_asked_for_is_kept_and_leases_are_handed_back(live_server):
    queue = make_queue("demo", demo=True)
    for _ in range(12):
        make_item(queue)
    simulate(live_server, "demo", "--annotators", "3", "--judgments", "7")
    assert Judgment.objects.count() == 7
    assert not Assignment.objects.filter(status="leased").exists()
    assert not Token.objects.filter(revoked_at__isnull=True).exists()


def test_outside_a_demo_it_says_that_the_votes_decide_nothing(live_server):
    queue = make_queue("real")
    make_item(queue)
    assert "decide nothing" in simulate(live_server, "real", "--annotators", "1")


def test_simulated_people_cannot_sign_in():
    from feedback import crowd

    crowd.recruit(queue=make_queue(), count=2)
    assert [u.has_usable_password() for u in User.objects.all()] == [False, False]


def test_a_real_person_of_that_name_is_not_taken_over(live_server):
    queue = make_queue("demo", demo=True)
    make_member(queue, make_user("sim-01"))
    with pytest.raises(CommandError, match="as real people"):
        simulate(live_server, "demo")


def test_an_unknown_queue_is_one_line(live_server):
    with pytest.raises(CommandError, match="no queue nowhere"):
        simulate(live_server, "nowhere")


def test_the_number_is_reached_even_when_leases_are_scarce(live_server):
    queue = make_queue("demo", demo=True)
    for _ in range(8):
        make_item(queue)
    simulate(live_server, "demo", "--annotators", "6", "--judgments", "7")
    assert Judgment.objects.count() == 7
