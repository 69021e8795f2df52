"""Text that goes round in circles: a phrase said again and again."""

from __future__ import annotations

import re
from collections import Counter

WORD = re.compile(r"\w+(?:['’]\w+)?")
PHRASE = 4  # words
MOST = 0.3  # share of all phrases that repeat an earlier one
LEAST_WORDS = 12
READ_CHARS = 20_000


def check(answer: str) -> str | None:
    """Fails when more than 30% of the four-word phrases have been said before, from twelve words on."""
    words = WORD.findall(answer[:READ_CHARS].lower())
    if len(words) < LEAST_WORDS:
        return None
    phrases = Counter(zip(*(words[k:] for k in range(PHRASE)), strict=False))
    total = sum(phrases.values())
    share = 1 - len(phrases) / total
    if share <= MOST:
        return None
    phrase, count = phrases.most_common(1)[0]
    return f"{share:.0%} of its phrases repeat; “{' '.join(phrase)}” comes {count} times"
