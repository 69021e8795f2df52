"""The language of a text, by py3langid (bundled model, about 2,000 texts a second)."""

from __future__ import annotations

import functools

SHORTEST = 12  # letters; shorter texts are guesses


@functools.lru_cache(maxsize=4096)
def of(text: str) -> str:
    """The ISO 639-1 code, or "" where there is too little text to tell."""
    import py3langid  # loading its model takes a second: only where it is used

    if sum(c.isalpha() for c in text) < SHORTEST:
        return ""
    return str(py3langid.classify(text[:2000])[0])
