"""Sequential rules: the arithmetic by hand, and the error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from feedback.stats.sequential import Rule, confidence_sequence, decide, log_statistic, stopping_times

SIMULATIONS = 2000


def statistic(name: str, votes: list[float], **settings: float) -> list[float]:
    """exp of the log statistic after each vote."""
    return np.exp(log_statistic(Rule(name, **settings), np.array(votes, dtype=float))).tolist()  # type: ignore[arg-type]


def test_sprt_multiplies_the_ratio_by_12_for_a_win_and_8_for_a_loss() -> None:
    """p1 = .6 against .5: win .6/.5 = 1.2, loss .4/.5 = .8, half sqrt(1.2 * .8) = .9798."""
    assert statistic("sprt", [1, 0, 0.5]) == pytest.approx([1.2, 0.96, 0.96 * 0.96**0.5])


def test_sprt_promotes_at_the_16th_straight_win() -> None:
    """ln(.9/.05) = 2.8904 and ln 1.2 = .1823: 15 wins give 2.735, 16 give 2.917."""
    assert decide(Rule("sprt"), [1] * 15).decided is None
    assert decide(Rule("sprt"), [1] * 16).decided == "promote"


def test_sprt_refuses_at_the_11th_straight_loss() -> None:
    """ln(.1/.95) = -2.2513 and ln .8 = -.2231: 10 losses give -2.231, 11 give -2.455."""
    assert decide(Rule("sprt"), [0] * 10).decided is None
    assert decide(Rule("sprt"), [0] * 11).decided == "refuse"


def test_betting_starts_at_one_and_bets_on_what_it_has_seen() -> None:
    """p^ = .5, .75, .8333: bets 0, 1, 1.3333; wealth 1, 1.5, then 1.5 * 1.6667 or 1.5 * .3333."""
    assert statistic("betting", [1, 1, 1]) == pytest.approx([1, 1.5, 2.5])
    assert statistic("betting", [1, 1, 0]) == pytest.approx([1, 1.5, 0.5])


def test_betting_does_not_move_on_a_tie() -> None:
    assert statistic("betting", [1, 0.5]) == pytest.approx([1, 1])


def test_betting_never_goes_bankrupt() -> None:
    """After 50 wins the bet is 1.8: one loss leaves a tenth."""
    before, after = statistic("betting", [1] * 50 + [0])[-2:]
    assert after / before == pytest.approx(0.1)


def test_mixture_has_its_closed_form() -> None:
    """One win: 2^2 B(2,1) (1 - 1/4) = 1.5. Win and loss: 2^3 B(2,2) / 2 = 2/3. A tie changes nothing."""
    assert statistic("mixture", [1, 0, 0.5]) == pytest.approx([1.5, 2 / 3, 2 / 3])


def test_mixture_against_a_margin() -> None:
    """m0 = .4, one win: B(2,1) (1 - .16) / (.6 * .4) = 1.75."""
    assert statistic("mixture", [1], m0=0.4) == pytest.approx([1.75])


def test_mixture_of_hundreds_of_losses_stays_a_number() -> None:
    assert not np.isnan(log_statistic(Rule("mixture"), np.zeros(3000))).any()


def test_no_votes_decide_nothing() -> None:
    result = decide(Rule("sprt"), [])
    assert (result.n, result.decided, result.low, result.high) == (0, None, 0.0, 1.0)
    assert np.isnan(result.share)


def test_votes_after_the_decision_are_not_consumed() -> None:
    result = decide(Rule("sprt"), [1] * 16 + [0] * 40)
    assert (result.n, result.score, result.decided) == (16, 16, "promote")
    assert result.expected_more_votes(0.6) == 0


def test_a_limit_refuses_when_the_votes_are_used_up() -> None:
    rule = Rule("betting", limit=4)
    assert decide(rule, [1, 0, 1]).decided is None
    result = decide(rule, [1, 0, 1, 0, 1])
    assert (result.n, result.decided, result.used_up) == (4, "refuse", True)
    assert not decide(Rule("sprt"), [0] * 11).used_up


def test_a_win_at_the_limit_still_promotes() -> None:
    assert decide(Rule("sprt", limit=16), [1] * 16).decided == "promote"


@pytest.mark.parametrize("votes", [[0.25], [2], [float("nan")], [[1, 0]]])
def test_other_votes_are_refused(votes: list) -> None:
    with pytest.raises(ValueError, match="0, 1/2 or 1"):
        decide(Rule(), votes)


@pytest.mark.parametrize("settings", [{"name": "peek"}, {"p1": 0.5}, {"alpha": 0}, {"alpha": 0.6, "beta": 0.5}])
def test_a_rule_that_makes_no_sense_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=r"rule|alpha|m0"):
        Rule(**settings)


def test_expected_votes_shrink_as_wins_come_in() -> None:
    fresh, ahead = decide(Rule(), []), decide(Rule(), [1] * 12)
    assert fresh.expected_more_votes(0.6) == pytest.approx(120, abs=15)
    assert ahead.expected_more_votes(0.6) < 60  # type: ignore[operator]


def test_a_rule_without_futility_has_no_expected_end_for_an_equal_candidate() -> None:
    assert decide(Rule("betting"), [1, 0]).expected_more_votes(0.5, horizon=500) is None


def test_confidence_sequence_is_symmetric() -> None:
    low, high = confidence_sequence([1, 1, 0, 1, 0, 1, 1])
    assert confidence_sequence([0, 0, 1, 0, 1, 0, 0]) == pytest.approx((1 - high, 1 - low), abs=0.0011)


def test_confidence_sequence_is_wider_than_a_fixed_interval_and_narrows() -> None:
    def width(votes: list[int]) -> float:
        low, high = confidence_sequence(votes)
        return high - low

    assert 0.55 < width([1] * 8 + [0] * 4) < 0.9
    assert width(([1] * 3 + [0] * 2) * 40) < 0.25


def test_confidence_sequence_without_votes_is_everything() -> None:
    assert confidence_sequence([]) == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("ties", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sprt", "betting", "mixture"])
def test_looking_after_every_vote_keeps_alpha(name: str, ties: float) -> None:
    """A/A: 2,000 equal candidates, 1,000 votes each. Two standard errors above .05 are .06."""
    assert promoted(Rule(name), 0.5, ties)[0] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / SIMULATIONS)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_worse_candidate_is_promoted_less_than_once_in_a_hundred() -> None:
    assert promoted(Rule("sprt"), 0.45)[0] < 0.01


@pytest.mark.slow
def test_sprt_needs_about_125_votes_at_6_and_about_101_under_the_null() -> None:
    rate, mean = promoted(Rule("sprt"), 0.6)
    assert rate > 0.88
    assert mean == pytest.approx(125, abs=10)
    assert promoted(Rule("sprt"), 0.5)[1] == pytest.approx(101, abs=10)


@pytest.mark.slow
def test_confidence_sequence_holds_at_every_look() -> None:
    """500 sequences of 200 votes at .6, looked at after every 20th: at most 5% ever miss it."""
    rng = np.random.default_rng(11)
    votes = (rng.random((500, 200)) < 0.6).astype(float)
    missed = sum(any(not _holds(row[:n], 0.6) for n in range(20, 201, 20)) for row in votes)
    assert missed / 500 <= 0.05


def promoted(rule: Rule, p: float, ties: float = 0.0) -> tuple[float, float]:
    """Share promoted, and mean votes among those that ended."""
    rng = np.random.default_rng(10)
    shape = (SIMULATIONS, 1000)
    votes = np.where(rng.random(shape) < ties, 0.5, (rng.random(shape) < p).astype(float))
    path = log_statistic(rule, votes)
    stop = stopping_times(rule, path)
    ended = np.flatnonzero(np.isfinite(stop))
    at_stop = path[ended, stop[ended].astype(int) - 1]
    return float((at_stop >= rule.upper).sum() / SIMULATIONS), float(stop[ended].mean())


def _holds(votes: np.ndarray, truth: float) -> bool:
    low, high = confidence_sequence(votes)
    return low <= truth <= high
