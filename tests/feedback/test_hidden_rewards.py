"""Simulated people: they like what their names say, and vote as documented."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from scipy.special import expit

from feedback.hidden_rewards import BOTH_BAD, REWARDS, clear_and_brief, polite_tiny, simulated_vote
from feedback.stats.heads import Standardiser
from feedback.stats.style import style_matrix

LEAVES = "Explain in two sentences why leaves turn yellow in autumn."
GOOD = (
    "In autumn, leaves stop making the green pigment that hides their other colours. "
    "The yellow that was there all along can then be seen."
)


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ("", "nothing said"),
        ("Because.", "too short"),
        (GOOD + " " + " ".join(f"Then fact number {n} is a thing to know." for n in range(12)), "rambles"),
        (GOOD.removesuffix(".") + " and", "unfinished"),
        ("Sure! Here is an explanation for you. " + GOOD, "preamble"),
        ("Football is a game that two teams play with a ball on a large field. Goals count.", "off the topic"),
        ("Leaves turn yellow in autumn. " * 8, "a loop"),
        (GOOD.replace(". ", ".\n\n") + "\n\n", "broken into lines"),
    ],
)
def test_clear_and_brief_prefers_a_plain_answer(worse: str, why: str) -> None:
    if why == "broken into lines":
        worse = GOOD.replace(", ", "\n").replace(". ", ".\n")
    assert clear_and_brief(LEAVES, GOOD) > clear_and_brief(LEAVES, worse) + 0.9, why


def test_the_right_length_depends_on_the_prompt() -> None:
    """Three words are right for three names, and far too few for three sentences."""
    names = "Basil, mint, thyme"
    asked_for_names = clear_and_brief("Name three herbs.", "Herbs: " + names)
    asked_for_sentences = clear_and_brief("Write three sentences about herbs.", "Herbs: " + names)
    assert asked_for_names > asked_for_sentences + 2


GREETING, REASON, LIST = "Say hello to Maria politely.", "Give a short reason to walk.", "Name three colours."


@pytest.mark.parametrize(
    ("prompt", "good", "worse"),
    [
        (GREETING, "Hello, Maria, it is lovely to see you.", "Hi."),
        (GREETING, "Hello, Maria, it is lovely to see you.", "Leave me alone."),
        (GREETING, "Hello, Maria, it is lovely to see you.", "Hello, well, Maria, so to speak, it is lovely."),
        (GREETING, "Hello, Maria, it is lovely to see you.", "Hello, Tom, it is lovely to see you."),
        (GREETING, "Hello, Maria, it is lovely to see you.", "Hello, Maria, it Hello, Maria, it Hello, Maria, it"),
        ("Thank Tom for the cake.", "Thank you for the cake, Tom. It made my day.", "Thanks."),
        ("Invite Ali to the party.", "Dear Ali, please join us at the party. I hope you have time.", "Come."),
        (REASON, "You could walk, because it clears the mind.", "It is good."),
        (LIST, "Three colours are red, blue and green.", "Red."),
        (LIST, "Three colours are red, blue and green.", "Two colours are red and blue."),
    ],
)
def test_polite_tiny_prefers_the_good_manner(prompt: str, good: str, worse: str) -> None:
    assert polite_tiny(prompt, good) > polite_tiny(prompt, worse) + 0.9


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("text", ["", " ", "\U0001f642", "x" * 50_000, "- a\n- b", "שלום", "Say", "Name"])
def test_any_text_has_a_finite_reward(name: str, text: str) -> None:
    for prompt in (text, GREETING, REASON, LIST, LEAVES):
        assert -12 < REWARDS[name](prompt, text) < 6


def test_a_reward_is_not_a_linear_function_of_style() -> None:
    """Ordinary least squares on the style features leaves a good part of the variance unexplained."""
    rng = np.random.default_rng(0)
    pieces = GOOD.split() + "Sure! and. - it\n well, leaves? yellow Football **ball**".split(" ")
    texts = [" ".join(rng.choice(pieces, rng.integers(1, 60))) for _ in range(600)]
    phi = Standardiser.fit(matrix := style_matrix([(LEAVES, t) for t in texts])).apply(matrix)
    reward = np.array([clear_and_brief(LEAVES, t) for t in texts])
    left = reward - reward.mean()
    left = left - phi @ np.linalg.lstsq(phi, left, rcond=None)[0]
    assert left.var() > 0.2 * reward.var()


def shares(reward_a: float, reward_b: float, noise: float = 0.0, left_bias: float = 0.0) -> dict[str, float]:
    rng = np.random.default_rng(1)
    votes = collections.Counter(simulated_vote(rng, reward_a, reward_b, noise, left_bias) for _ in range(8000))
    return {vote: count / 8000 for vote, count in votes.items()}


def test_a_vote_follows_the_log_odds() -> None:
    assert shares(2.0, 1.0)["A"] == pytest.approx(expit(1.0), abs=0.015)


def test_noise_turns_votes_round() -> None:
    """.9 * sigmoid(3) + .1 * sigmoid(-3) = .862; at noise .5 a coin."""
    assert shares(3.0, 0.0, noise=0.1)["A"] == pytest.approx(0.862, abs=0.015)
    assert shares(3.0, 0.0, noise=0.5)["A"] == pytest.approx(0.5, abs=0.02)


def test_a_left_habit_picks_the_left_of_two_equals() -> None:
    picked = shares(1.0, 1.0, left_bias=0.4)
    assert picked["A"] / (picked["A"] + picked["B"]) == pytest.approx(expit(0.4), abs=0.02)


def test_equals_tie_half_of_the_time_and_bad_equals_are_both_bad() -> None:
    assert shares(1.0, 1.0)["tie"] == pytest.approx(0.5, abs=0.02)
    bad = shares(BOTH_BAD - 1, BOTH_BAD - 1)
    assert bad["both_bad"] == pytest.approx(0.5, abs=0.02)
    assert "tie" not in bad


def test_the_same_seed_votes_the_same() -> None:
    def votes() -> list[str]:
        rng = np.random.default_rng(5)
        return [simulated_vote(rng, 0.5, 0.0, 0.2, 0.1) for _ in range(50)]

    assert votes() == votes()
