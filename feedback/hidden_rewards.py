"""What simulated people like, and how they vote. Known to nobody else: no feature, head or gate reads it.

A reward is a number on the scale of log odds: an answer one unit better is preferred by 73%, two units by
88%, four by 98% of votes without noise. Both rewards are made of thresholds, products and rules that
depend on the prompt, so no linear head on style or hidden features represents them exactly: a simulated
loop meets the misspecification that real people bring.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from scipy.special import expit

Reward = Callable[[str, str], float]

TIE_GAP = 0.4  # below it half of the votes are ties
BOTH_BAD = -1.5  # two answers below it and close together are "both bad"

NUMBERS = {"a": 1, "an": 1, "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
ASKED_SENTENCES = re.compile(r"\b(\w+)(?: (?:short|brief|simple|clear|polite|friendly|plain))* sentences?\b", re.I)
ASKED_THINGS = re.compile(r"\b(two|three|four|five|six|seven)\b", re.I)
PREAMBLE = re.compile(
    r"\W*(?:sure|certainly|of course|absolutely|great question|here(?:['’]s| is| are)|as an? (?:ai|assistant)|"
    r"i['’]d be happy|i['’]m (?:happy|glad|sorry)|based on|the (?:sentence|text|passage) )",
    re.IGNORECASE,
)
STOP_WORDS = frozenset({
    "about", "answer", "could", "describe", "each", "explain", "give", "line", "list", "name", "please",
    "sentence", "sentences", "short", "should", "single", "some", "tell", "that", "their", "there", "these",
    "they", "this", "what", "when", "which", "with", "words", "would", "write", "your",
})  # fmt: skip
POLITE_CLOSINGS = ("lovely", "hope", "kind", "thank", "please", "happy", "very much", "made my day")
RUDE = ("go away", "someone else", "do not care", "silly", "leave me")
FILLERS = ("well,", "you know,", "in a way,", "so to speak,", "as it were,", "more or less,", "and so on,")


def clear_and_brief(prompt: str, answer: str) -> float:
    """For everyday tasks: finished, of the length the task asks for, on its words, no preamble, no loops.

    About -4 (loops or nothing) to 4. The main term is a product: length counts only in a finished answer
    that is on the topic.
    """
    words = _words(answer)
    if not words:
        return -4.0
    fit = _fits(len(words), *_length_band(prompt))
    finished = answer.rstrip(" \n\"'”’)*_`").endswith((".", "!", "?")) or _wants_a_list(prompt)
    topic = min(1.0, _taken_up(prompt, words) / 0.35)
    reward = 4.0 * fit * topic * finished + fit - 1.0
    reward -= 1.0 * bool(PREAMBLE.match(answer))
    reward -= 3.0 * (_novelty(words) < 0.8)
    reward -= 1.0 * (answer.count("\n") > 1 and not _wants_a_list(prompt))
    return reward


def polite_tiny(prompt: str, answer: str) -> float:
    """For the tiny model's world: does what is asked, politely, once, without filler.

    About -5 (rude) to 3.5 (on task, finished, kind); terse and rambling answers lie near 0 or below.
    """
    words = _words(answer)
    if not words:
        return -4.0
    lower = answer.lower()
    whole = answer.rstrip().endswith(".") and _novelty(words) > 0.8
    reward = 3.0 * _tiny_task(prompt, lower, words) * (1.0 if whole else 0.3) - 1.0
    if prompt.startswith(("Say", "Thank", "Invite")):  # kindness matters between people, not in lists
        reward += 1.0 * any(word in lower for word in POLITE_CLOSINGS)
    reward -= 0.8 * min(sum(lower.count(filler) for filler in FILLERS), 4)
    reward -= 1.0 * (len(words) < 4)
    reward -= 3.0 * any(phrase in lower for phrase in RUDE)
    return reward


REWARDS: dict[str, Reward] = {"clear_and_brief": clear_and_brief, "polite_tiny": polite_tiny}


def simulated_vote(
    rng: np.random.Generator, reward_a: float, reward_b: float, noise: float = 0.0, left_bias: float = 0.0
) -> str:
    """The vote "A" (shown left), "B", "tie" or "both_bad": P(A) = (1-noise) sigmoid(D) + noise sigmoid(-D).

    D = reward_a - reward_b + left_bias: `noise` is the share of votes that come out the wrong way round
    (.5 tosses a coin), `left_bias` a habit in log odds (.2 picks the left one of two equals in 55%).
    Answers closer than TIE_GAP are ties half of the time, or "both_bad" where both lie below BOTH_BAD.
    """
    if abs(reward_a - reward_b) < TIE_GAP and rng.random() < 0.5:
        return "both_bad" if max(reward_a, reward_b) < BOTH_BAD else "tie"
    prefers_a = rng.random() < expit(reward_a - reward_b + left_bias)
    return "A" if prefers_a != (rng.random() < noise) else "B"


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _length_band(prompt: str) -> tuple[int, int]:
    """Fewest and most words that suit the task: by the sentences or the things it asks for."""
    asked = ASKED_SENTENCES.search(prompt)
    if asked and asked.group(1).lower() in NUMBERS:
        sentences = NUMBERS[asked.group(1).lower()]
        return 6 * sentences, 24 * sentences
    if things := ASKED_THINGS.search(prompt):
        count = NUMBERS[things.group(1).lower()]
        return count, 9 * count
    return 6, 40


def _wants_a_list(prompt: str) -> bool:
    return ASKED_SENTENCES.search(prompt) is None and ASKED_THINGS.search(prompt) is not None


def _fits(n: int, fewest: int, most: int) -> float:
    """1 inside the band, falling in a straight line to 0 at half of it below and twice of it above."""
    if n < fewest:
        return max(0.0, 2.0 * n / fewest - 1.0)
    return max(0.0, 2.0 - n / most) if n > most else 1.0


def _taken_up(prompt: str, answer_words: list[str]) -> float:
    """Share of the prompt's content words in the answer, by their first five letters (leaf, leaves apart)."""
    asked = {word[:5] for word in _words(prompt) if len(word) > 3 and word not in STOP_WORDS}
    return len(asked & {word[:5] for word in answer_words}) / len(asked) if asked else 1.0


def _novelty(words: list[str]) -> float:
    """Distinct runs of three words over all of them."""
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


def _tiny_task(prompt: str, answer: str, words: list[str]) -> float:
    """0 to 1: how much of the request the answer meets, by the kind of request."""
    asked = _words(prompt)
    if prompt.startswith("Name "):
        listed = len(words) - words.index("are") - 1 - words.count("and") if "are" in words else len(words)
        return max(0.0, 1.0 - abs(listed - NUMBERS.get(asked[1], 3)) / 2) * (asked[-1] in words)
    if prompt.startswith("Give "):
        return 0.5 * (" because " in answer) + 0.5 * (asked[-1] in words)
    name = asked[3] if prompt.startswith("Say ") else asked[1] if len(asked) > 1 else ""
    return 0.6 * (name in words) + 0.4 * (asked[-1] in words or prompt.startswith("Say "))
