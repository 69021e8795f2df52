"""Text at the door: what is refused, by which path, and that keys are stable."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.clean_text import BadText, canonical_json, check_messages, clean, content_key

USER = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a\x00b", ""),
        ({"a": [{"b": "\x00"}]}, "a[0].b"),
        ({"a": {"b": "\ud83d"}}, "a.b"),
        (["ok", "\udc00"], "[1]"),
        ({"x\x00": 1}, "(key)"),
        ({"n": float("nan")}, "n"),
        ({"n": [float("inf")]}, "n[0]"),
    ],
)
def test_bad_text_is_refused_by_its_path(value: Any, path: str) -> None:
    with pytest.raises(BadText) as refusal:
        clean(value)
    assert refusal.value.path == path


def test_the_path_starts_where_the_caller_says() -> None:
    with pytest.raises(BadText, match=r"\[4\]\.messages\[0\]: contains a NUL"):
        clean({"messages": ["\x00"]}, "[4]")


def test_whole_surrogate_pairs_are_text() -> None:
    assert clean("\U0001f642 \u05d0 \u200f") == "\U0001f642 \u05d0 \u200f"


def test_bottomless_nesting_is_refused() -> None:
    value: list = []
    for _ in range(70):
        value = [value]
    with pytest.raises(BadText, match="64 levels"):
        clean(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=12,
)


@given(json_values)
def test_what_passes_can_be_encoded(value: Any) -> None:
    try:
        passed = clean(value)
    except BadText as refusal:
        assert refusal.reason
    else:
        assert b"\\u0000" not in canonical_json(passed)


def test_canonical_json_sorts_keys_and_keeps_letters() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert canonical_json({"a": "é", "b": 1}) == canonical_json({"b": 1, "a": "é"})


def test_a_key_is_the_hash_of_its_parts() -> None:
    assert content_key("a", 1) == hashlib.sha256(b'["a",1]').hexdigest()
    assert content_key("ab", "c") != content_key("a", "bc")


def test_not_a_number_has_no_key() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        content_key(float("nan"))


def test_messages_keep_role_and_content_only() -> None:
    turns = [{"role": "system", "content": "Be kind.", "id": 3}, USER]
    assert check_messages(turns) == [{"role": "system", "content": "Be kind."}, USER]


@pytest.mark.parametrize(
    ("messages", "path", "reason"),
    [
        ("hello", "messages", "list"),
        ([], "messages", "at least one"),
        (["hello"], "messages[0]", "object"),
        ([{"role": "tool", "content": "x"}, USER], "messages[0]", "tool"),
        ([USER, {"role": "assistant", "content": "x", "tool_calls": [{}]}, USER], "messages[1]", "tool"),
        ([{"role": "bot", "content": "x"}], "messages[0].role", "none of"),
        ([{"role": [], "content": "x"}], "messages[0].role", "none of"),
        ([{"role": "user", "content": [{"type": "image"}]}], "messages[0].content", "multimodal"),
        ([{"role": "user", "content": None}], "messages[0].content", "string"),
        ([{"role": "user", "content": " \n"}], "messages[0].content", "empty"),
        ([{"role": "user", "content": "a\x00"}], "messages[0].content", "NUL"),
        ([USER, {"role": "assistant", "content": "Hi"}], "messages[1].role", "user turn"),
        ([USER, {"role": "system", "content": "late"}, USER], "messages[1].role", "first"),
    ],
)
def test_bad_messages_are_refused_by_name(messages: Any, path: str, reason: str) -> None:
    with pytest.raises(BadText, match=reason) as refusal:
        check_messages(messages)
    assert refusal.value.path == path
