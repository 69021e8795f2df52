"""Style features: named, finite, cheap, and pointing the way their names say."""

from __future__ import annotations

import time

import numpy as np
import pytest

from feedback.stats.style import READ_CHARS, STYLE_NAMES, distinct_bigrams, style_features, style_matrix


def feature(name: str, answer: str, prompt: str = "") -> float:
    return float(style_features(prompt, answer)[STYLE_NAMES.index(name)])


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("longer", "one two three", "one two"),
        ("more characters", "abcd", "abc"),
        ("longer words", "extraordinary circumstances", "a to be"),
        ("more sentences", "One. Two.", "One and two."),
        ("lists", "- milk\n- eggs", "milk, eggs"),
        ("headings", "# Title\ntext", "Title\ntext #1"),
        ("bold text", "a **bold** word", "a ** b * c"),
        ("code", "use `ls`", "use ls"),
        ("questions", "Really?", "Really."),
        ("exclamations", "Yes!", "Yes."),
        ("refusals", "I'm sorry, I can’t help.", "I can help."),
        ("hedging", "It might rain.", "It will rain."),
        ("talks about itself", "I think so", "Think so"),
        ("polite words", "Thank you, Maria.", "You, Maria."),
        ("varied wording", "one two three four", "one two one two one two"),
        ("finished ending", 'She said "stop."', "She said stop, and then"),
    ],
)
def test_a_feature_grows_with_what_its_name_says(name: str, more: str, less: str) -> None:
    assert feature(name, more) > feature(name, less)


def test_overlap_counts_the_prompts_content_words() -> None:
    """Words of four letters or more: describe, snow, city; the answer takes up two of three."""
    assert feature("uses the prompt's words", "Snow fell on the city.", "Describe the snow in a city") == 2 / 3


def test_full_width_and_arabic_marks_count() -> None:
    assert feature("questions", "\uff1f\u061f?") == pytest.approx(np.log1p(3))
    assert feature("finished ending", "\u4f60\u597d\u3002") == 1.0


def test_bigrams_of_a_repeated_word() -> None:
    """a a a a has three bigrams, one of them distinct."""
    assert distinct_bigrams(["a"] * 4) == pytest.approx(1 / 3)
    assert distinct_bigrams(["a"]) == 1.0


@pytest.mark.parametrize("text", ["", " ", "\n", "\U0001f642", "אבג דה", "\x00", "\ud800", "*", "`", "1."])
def test_any_string_gives_finite_features(text: str) -> None:
    assert np.isfinite(style_features(text, text)).all()


@pytest.mark.parametrize("unit", ["a ", "**", "`", "- a\n", "word ", "\n", ".", " ", "__a", "#"])
def test_a_long_answer_stays_cheap(unit: str) -> None:
    answer = unit * (200_000 // len(unit))
    fastest = min(_seconds(answer) for _ in range(3))
    assert fastest < 0.02 * 3  # 20 ms asked for; three times that on a busy machine


def test_length_is_exact_beyond_the_part_that_is_read() -> None:
    assert feature("longer", "word " * READ_CHARS) == pytest.approx(np.log1p(READ_CHARS))


def test_a_matrix_of_nothing_has_the_right_width() -> None:
    assert style_matrix([]).shape == (0, len(STYLE_NAMES))
    assert style_matrix([("p", "a"), ("p", "b c")]).shape == (2, len(STYLE_NAMES))


def _seconds(answer: str) -> float:
    start = time.perf_counter()
    style_features("What is a word?", answer)
    return time.perf_counter() - start
