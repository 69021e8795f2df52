"""The test that pauses people: an honest one hardly ever, a coin and an adversary soon."""

from __future__ import annotations

import random
from math import log
from statistics import median

import pytest

from feedback.stats import honesty


def answers(seed: int, n: int, wrong: float, wrong_on_attention: float, attention: float = 1 / 3) -> list[honesty.Sign]:
    rng = random.Random(seed)
    kinds = [rng.random() < attention for _ in range(n)]
    return [
        honesty.attention(rng.random() >= wrong_on_attention) if easy else honesty.gold(rng.random() >= wrong)
        for easy in kinds
    ]


def test_evidence_is_the_mixture_of_two_likelihood_ratios() -> None:
    """One wrong gold: chance .5 / .25 = 2, contrary .9 / .25 = 3.6; .9 * 2 + .1 * 3.6 = 2.16."""
    assert honesty.test([honesty.gold(False)]).evidence == pytest.approx(2.16)
    """One right attention item: .5 / .95 and .1 / .95: (.9 * .5 + .1 * .1) / .95 = .46 / .95."""
    assert honesty.test([honesty.attention(True)]).evidence == pytest.approx(0.46 / 0.95)


def test_nobody_is_paused_on_fewer_checks_than_the_least() -> None:
    assert not honesty.test([honesty.gold(False)] * (honesty.LEAST_CONTRARY - 1)).pause
    assert honesty.test([honesty.gold(False)] * honesty.LEAST_CONTRARY).pause
    half = [honesty.attention(n % 2 == 0) for n in range(honesty.LEAST - 1)]
    assert honesty.test(half).evidence > 1 / honesty.ALPHA and not honesty.test(half).pause


def test_a_coin_is_paused_by_twelve_checks_and_an_adversary_by_six() -> None:
    """Medians over 200 seeds, a third of the checks attention items."""
    coins = [honesty.first_pause(answers(seed, 200, 0.5, 0.5)) for seed in range(200)]
    adversaries = [honesty.first_pause(answers(seed, 200, 0.95, 0.95)) for seed in range(200)]
    assert all(coins) and median(n for n in coins if n) <= 12
    assert all(adversaries) and median(n for n in adversaries if n) <= 6


def test_an_honest_person_who_errs_a_quarter_of_the_time_is_hardly_ever_paused() -> None:
    """500 judgments hold 10 + 14 checks at 20% of the first 50 and 3% after: paused in at most 1%."""
    paused = sum(honesty.first_pause(answers(seed, 24, 0.25, 0.05)) is not None for seed in range(4000))
    assert paused <= 40


def test_the_evidence_against_an_honest_person_has_mean_one_at_most() -> None:
    """A supermartingale: E[ratio] over one honest answer is exactly 1, e.g. .75 * (.5 / .75) + .25 * (.5 / .25)."""
    for sign in (honesty.gold, honesty.attention, honesty.repeat):
        q = sign(True).honest_wrong
        mean = (1 - q) * honesty.test([sign(True)]).evidence + q * honesty.test([sign(False)]).evidence
        assert mean == pytest.approx(1.0)


def test_the_path_and_the_whole_agree() -> None:
    signs = answers(3, 60, 0.5, 0.5)
    at = honesty.first_pause(signs)
    assert at is not None and honesty.test(signs[:at]).pause and not honesty.test(signs[: at - 1]).pause
    assert log(honesty.test(signs[:at]).evidence) >= log(1 / honesty.ALPHA)
