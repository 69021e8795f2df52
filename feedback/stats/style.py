"""Style features of an answer: what a reader notices before the content.

They serve three purposes: part of a reward head's input, the control in "does it win only because
it is longer?", and plain words for people ("your taste: shorter, more polite"). So each has a name
that can be shown. Counts enter as log(1 + count), rates as they are; every value is finite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np

STYLE_NAMES: tuple[str, ...] = (
    "longer",
    "more characters",
    "longer words",
    "more sentences",
    "lists",
    "headings",
    "bold text",
    "code",
    "questions",
    "exclamations",
    "refusals",
    "hedging",
    "talks about itself",
    "polite words",
    "varied wording",
    "uses the prompt's words",
    "finished ending",
)
LONGER = STYLE_NAMES.index("longer")

# Rates and marks are read from the beginning only; lengths are exact. Keeps a pasted book cheap.
READ_CHARS = 20_000

WORD = re.compile(r"\w+(?:['’]\w+)?")
LIST_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"\*\*[^*\n]{1,200}\*\*|__[^_\n]{1,200}__")
CODE = re.compile(r"```|`[^`\n]{1,200}`")
REFUSAL = re.compile(
    r"\b(?:i (?:can(?:not|['’]t)|won['’]t|am (?:not able|unable)|must decline)"
    r"|i (?:don['’]t|do not) feel comfortable|i['’]m (?:not able|unable|sorry)"
    r"|as an? (?:ai|language model))\b",
    re.IGNORECASE,
)
# fmt: off
HEDGES = frozenset({
    "maybe", "perhaps", "possibly", "probably", "might", "could", "seems", "seem", "likely", "generally",
    "usually", "sometimes", "often", "somewhat", "roughly", "approximately", "apparently", "arguably",
})
FIRST_PERSON = frozenset({
    "i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll", "i’m", "i’ve", "i’d", "i’ll",
})
POLITE = frozenset({
    "please", "thank", "thanks", "welcome", "sorry", "apologise", "apologies", "apologize", "kindly",
    "grateful", "appreciate", "glad", "pleasure", "hello", "regards", "wonderful",
})
# fmt: on
# Full-width, Arabic, Devanagari and Chinese marks by escape: some look like their Latin twins.
QUESTION_MARKS = "?\uff1f\u061f"
EXCLAMATION_MARKS = "!\uff01"
TERMINAL = ".\u2026\u3002\u0964" + QUESTION_MARKS + EXCLAMATION_MARKS
CLOSERS = " \t\r\n\"'”’»)]*_`"
SENTENCE_END = re.compile(f"[{TERMINAL}]+(?=\\s|$|[\"'”’)\\]])")


def style_features(prompt: str, answer: str) -> np.ndarray:
    """The features of one answer, float64, shape (len(STYLE_NAMES),), in the order of STYLE_NAMES."""
    head = answer[:READ_CHARS]
    words = WORD.findall(head.lower())
    share = _share(words)
    return np.array(
        [
            np.log1p(len(answer.split())),
            np.log1p(len(answer)),
            min(sum(map(len, words)) / max(len(words), 1), 20.0),
            _log_count(SENTENCE_END, head),
            _log_count(LIST_ITEM, head),
            _log_count(HEADING, head),
            _log_count(BOLD, head),
            _log_count(CODE, head),
            np.log1p(sum(map(head.count, QUESTION_MARKS))),
            np.log1p(sum(map(head.count, EXCLAMATION_MARKS))),
            _log_count(REFUSAL, head),
            share(HEDGES),
            share(FIRST_PERSON),
            share(POLITE),
            distinct_bigrams(words),
            _overlap(prompt[:READ_CHARS], words),
            float(answer.rstrip(CLOSERS).endswith(tuple(TERMINAL))),
        ]
    )


def style_matrix(pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """(n, len(STYLE_NAMES)) features of n (prompt, answer) pairs."""
    rows = [style_features(prompt, answer) for prompt, answer in pairs]
    return np.array(rows).reshape(len(rows), len(STYLE_NAMES))


def distinct_bigrams(words: list[str]) -> float:
    """Distinct neighbouring word pairs over all of them, in (0, 1]; 1 where there is no pair."""
    bigrams = list(zip(words, words[1:], strict=False))
    return len(set(bigrams)) / len(bigrams) if bigrams else 1.0


def _log_count(pattern: re.Pattern[str], text: str) -> float:
    return float(np.log1p(sum(1 for _ in pattern.finditer(text))))


def _share(words: list[str]) -> Callable[[frozenset[str]], float]:
    total = max(len(words), 1)
    return lambda lexicon: sum(word in lexicon for word in words) / total


def _overlap(prompt: str, answer_words: list[str]) -> float:
    """Share of the prompt's content words (four letters or more) that the answer takes up."""
    asked = {word for word in WORD.findall(prompt.lower()) if len(word) > 3}
    return len(asked & set(answer_words)) / len(asked) if asked else 0.0
