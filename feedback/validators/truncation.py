"""Text that was cut off: it stops in the middle of a sentence, or of a code block."""

from __future__ import annotations

# By escape: ellipsis, the Chinese, Devanagari and full-width marks; some look like their Latin twins.
TERMINAL = ".!?:\u2026\u3002\u0964\uff01\uff1f"
CLOSERS = " \t\r\n\"'”’»)]*_`|"
LEAST_CHARS = 60  # a short answer ("42", "Paris") needs no full stop


def check(answer: str) -> str | None:
    """Fails when a code block is left open, or a long text's last paragraph ends without a mark.

    A last line that is a list item or a heading is taken as finished.
    """
    if answer.count("```") % 2:
        return "a code block is not closed"
    text = answer.rstrip()
    if len(text) < LEAST_CHARS or text.endswith("```"):
        return None
    last = text.splitlines()[-1].lstrip()
    if last.startswith(("-", "*", "+", "•", "#", "|", ">")) or last[:1].isdigit():
        return None
    return None if text.rstrip(CLOSERS).endswith(tuple(TERMINAL)) else "it stops in the middle of a sentence"
