"""What a lesson's head learns and what its verdict may claim."""

from __future__ import annotations

import numpy as np
import pytest

from feedback.stats.style import LONGER, STYLE_NAMES
from rlhf import taste

F = len(STYLE_NAMES)


def _votes_for(column: int, n: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    differences = np.random.default_rng(seed).normal(size=(n, F))
    return differences, (differences[:, column] > 0).astype(float)


def test_the_taste_that_was_planted_leads_the_list() -> None:
    head = taste.learn(*_votes_for(LONGER))
    first = taste.leanings(head)[0]
    assert first.name == "longer"
    assert first.weight > 0 and first.sure


def test_without_votes_no_feature_leans() -> None:
    rows = taste.leanings(taste.learn(np.zeros((0, F)), np.zeros(0)))
    assert all(row.weight == 0 and not row.sure for row in rows)


def test_a_vote_is_never_foreseen_with_its_own_help() -> None:
    differences, votes = _votes_for(LONGER)
    flipped = votes.copy()
    flipped[-1] = 1 - flipped[-1]
    assert np.array_equal(taste.foresight(differences, votes), taste.foresight(differences, flipped))


def test_the_first_vote_is_foreseen_as_a_coin_toss() -> None:
    assert taste.foresight(*_votes_for(LONGER))[0] == 0.5


def test_the_running_share_counts_no_idea_half_and_leaves_ties_out() -> None:
    """Half, right, (tie), wrong: .5, 1.5/2, still 1.5/2, 1.5/3."""
    shares = taste.running_share(np.array([0.5, 0.8, 0.7, 0.9]), np.array([1.0, 1.0, 0.5, 0.0]))
    assert shares == [0.5, 0.75, 0.75, 0.5]


def test_before_a_decisive_vote_there_is_no_share() -> None:
    assert taste.running_share(np.array([0.5]), np.array([0.5])) == [None]


def test_eight_of_twelve_is_not_yet_evidence() -> None:
    """Wilson .391-.862; the fixed test needs (.98 + .8416 sqrt(2/9))^2 36 = 68.2 votes: 60 more in tens."""
    assert taste.Verdict(8, 12).sentence == "8-4, interval .39-.86, not yet evidence; about 60 more."


def test_eleven_of_twelve_is_evidence_for_the_model() -> None:
    assert taste.Verdict(11, 12).sentence.endswith("evidence for your model.")


def test_one_of_twelve_is_evidence_against_the_model() -> None:
    assert taste.Verdict(1, 12).sentence == "1-11, interval .01-.35: evidence against your model."


@pytest.mark.parametrize("score", [6, 6.5])
def test_an_even_score_promises_no_number_of_votes(score: float) -> None:
    verdict = taste.Verdict(score, 12)
    assert verdict.more is None
    assert "more than 1,000" in verdict.sentence


def test_a_tie_counts_half_in_the_score() -> None:
    assert taste.Verdict(7.5, 12).sentence.startswith("7.5-4.5,")
