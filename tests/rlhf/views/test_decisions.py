"""A decision's page: the sentence, the figures behind it, and the one button."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from rlhf import deployments, gates
from rlhf.models import Decision
from rlhf.views.decisions import before_and_after, interval_chart, path_chart
from tests.factories import make_user
from tests.factories_rlhf import make_vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("mira", role="engineer"))
    return client


def page(client: Client, decision: Decision) -> str:
    return client.get(reverse("rlhf:decision", args=[decision.pk])).content.decode()


def test_the_page_leads_with_the_sentence(client: Client) -> None:
    decision = make_vote(wins=4, losses=5)
    shown = page(client, decision)
    assert f'<h1 class="verdict">{gates.sentence(decision)}</h1>' in shown


def test_while_people_vote_no_answer_is_shown_with_its_policys_name(client: Client) -> None:
    decision = make_vote(wins=4, losses=5)
    shown = page(client, decision)
    assert "What the candidate says instead" not in shown
    assert "every 3s" in shown and "still needed" in shown


def test_a_promotion_that_is_live_offers_no_button(client: Client) -> None:
    shown = page(client, make_vote(wins=16, losses=0))
    assert "live now as" in shown and "Override the votes" not in shown and "Make it live" not in shown


def test_a_refusal_can_be_overridden_with_a_reason_alone(client: Client) -> None:
    decision = make_vote(wins=0, losses=11)
    address = reverse("rlhf:decision-override", args=[decision.pk])
    assert "needs a reason" in client.post(address, {"reason": " "}, follow=True).content.decode()
    assert deployments.live(decision.alias) == decision.live
    client.post(address, {"reason": "It fixes the greeting."})
    assert deployments.live(decision.alias) == decision.candidate
    assert "It fixes the greeting." in page(client, Decision.objects.get())


def test_a_vote_that_goes_on_cannot_be_overridden(client: Client) -> None:
    decision = make_vote(wins=1, losses=1)
    client.post(reverse("rlhf:decision-override", args=[decision.pk]), {"reason": "Impatience."})
    decision.refresh_from_db()
    assert decision.status == "voting"


def test_the_five_shown_prompts_hang_on_the_printed_seed_alone(client: Client) -> None:
    decision = make_vote(wins=0, losses=11)
    first = [row["prompt"].key for row in before_and_after(decision)]
    assert len(first) == 5 and first == [row["prompt"].key for row in before_and_after(decision)]
    decision.seed += 1
    assert first != [row["prompt"].key for row in before_and_after(decision)]
    assert "with seed 7" in page(client, decision)


def test_simulated_votes_are_marked(client: Client) -> None:
    pages = [page(client, make_vote(wins=2, losses=2, kind=kind)) for kind in ("human", "simulated")]
    assert ["simulated votes" in shown for shown in pages] == [False, True]


def test_the_band_ends_at_the_stored_confidence_sequence() -> None:
    decision = make_vote(wins=6, losses=4, halves=2)
    votes = [v["x"] for v in decision.figures["votes"]]
    chart = interval_chart(votes, 0.05)
    upper = [float(p.split(",")[1]) for p in chart["band"].split()][len(votes) - 1]
    assert upper == pytest.approx(10 + 150 * (1 - decision.figures["high"]), abs=0.1)


def test_the_statistic_stays_between_its_lines_until_it_decides() -> None:
    figures = make_vote(wins=16, losses=0).figures
    chart = path_chart(figures)
    heights = [float(p.split(",")[1]) for p in chart["line"].split()]
    assert all(y > chart["upper"] for y in heights[:-1]) and heights[-1] <= chart["upper"]
