"""Offensive words, by alt-profanity-check (a linear model that ships with it): a weak signal, English only."""

from __future__ import annotations

THRESHOLD = 0.9


def found(text: str) -> bool:
    """Whether the text is probably offensive."""
    from profanity_check import predict_prob  # brings scikit-learn: only where it is used

    return bool(predict_prob([text])[0] >= THRESHOLD)
