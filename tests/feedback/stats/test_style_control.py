"""What is left of a win rate when the longer answer's advantage is taken out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from feedback.stats.style_control import controlled_share


def test_with_balanced_lengths_nothing_changes() -> None:
    """30 of 40 with a length difference that has nothing to do with the vote: logit is ln 3, the share .75."""
    votes, longer = [1, 1, 1, 0] * 10, [1, 1, 1, 1] * 5 + [-1, -1, -1, -1] * 5
    found = controlled_share(votes, longer)
    assert found is not None and found.value == pytest.approx(0.75, abs=1e-3)


def test_a_candidate_that_wins_only_by_length_is_at_one_half() -> None:
    """Always longer by one in 3 of 4 pairs, shorter in the rest; the longer one wins 80% of the time."""
    longer = np.array([1] * 60 + [-1] * 20)
    votes = np.array([1] * 48 + [0] * 12 + [0] * 16 + [1] * 4)
    found = controlled_share(votes, longer)
    assert votes.mean() == 0.65
    assert found is not None and found.value == pytest.approx(0.5, abs=1e-3)
    assert found.low < 0.5 < found.high


def test_the_intercept_is_found_again() -> None:
    rng = np.random.default_rng(0)
    d = rng.standard_normal(4000)
    votes = (rng.random(4000) < expit(0.4 + 1.2 * d)).astype(float)
    found = controlled_share(votes, d)
    assert found is not None and found.low < expit(0.4) < found.high
    assert found.high - found.low < 0.05


@pytest.mark.parametrize("votes", [[1, 0] * 10, [1] * 80, []])
def test_too_few_votes_or_none_against_give_no_figure(votes: list[float]) -> None:
    assert controlled_share(votes, np.arange(len(votes)) % 3 - 1.0) is None


def test_a_style_that_never_differs_costs_no_coefficient() -> None:
    votes, longer = [1, 1, 1, 0] * 10, [1, 1, 1, 1] * 5 + [-1, -1, -1, -1] * 5
    both = controlled_share(votes, np.column_stack([longer, np.zeros(40)]))
    assert both == controlled_share(votes, longer)
