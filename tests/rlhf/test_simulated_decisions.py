"""`bin/bench decide` in small: the real verbs, people at once, the world as it was afterwards."""

from __future__ import annotations

import pytest

from bench._decisions import make_world, simulate
from bench.decide import MARGINS, looks, summary
from feedback.models import Judgment
from feedback.stats.sequential import Rule
from rlhf import deployments
from rlhf.models import Decision

pytestmark = pytest.mark.django_db


def test_a_much_better_and_a_much_worse_candidate_get_the_verdict_they_deserve_and_leave_nothing_behind() -> None:
    world = make_world(people=4, prompts=60, guarded=4)
    rule = Rule(limit=60)
    better, worse = (simulate(world, share=p, rule=rule, seed=5, margins=MARGINS) for p in (0.95, 0.05))
    assert better.by_votes and better.promoted == (not better.blocked) and better.votes <= 40
    assert not worse.promoted and not worse.by_votes and worse.votes <= 20
    assert deployments.live("production") == world.live
    assert not Judgment.objects.exists() and not Decision.objects.exists()


def test_the_summary_counts_whom_the_guardrails_stopped_only_where_the_votes_had_won() -> None:
    row = {"promoted": False, "votes": 40, "by_votes": True, "arrived": True, "blocked": ("length",)}
    found = summary([row, {**row, "by_votes": False}, {**row, "promoted": True, "blocked": ()}])
    assert (found["promoted"], found["promoted_by_votes"], found["blocked_by"]) == (1, 2, {"length": 1})


def test_at_60_the_sprt_needs_about_125_votes() -> None:
    promoted, votes = looks(Rule("sprt"), 0.6, 500, 0)
    assert promoted > 0.86 and 110 < votes.mean() < 140
