from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from feedback.rendering import NESTED_AT_MOST, RENDERED_AT_MOST, render_markdown


class Elements(HTMLParser):
    """Tags and attributes as a browser would find them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def words(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "<javascript:alert(1)>",
        '[a](http://b "x\\" onmouseover=alert(1)")',
        '```"><script>alert(1)</script>\nx\n```',
        "<svg><a xlink:href='javascript:x'>",
        "</form></template><form action=//evil>",
        "<style>*{display:none}</style>",
    ],
)
def test_hostile_markup_is_inert(hostile: str) -> None:
    found = Elements(render_markdown(hostile))
    assert found.tags <= {"p", "a", "pre", "code", "br"}
    assert {name for name, _ in found.attributes} <= {"dir", "href", "rel", "title", "class"}
    assert all(re.match("https?:|mailto:", value or "") for name, value in found.attributes if name == "href")


def test_markdown_becomes_structure() -> None:
    html = render_markdown("**a** `b`\n\n1. c\n\n| d |\n|---|\n| e |\n\n~~f~~")
    for piece in ("<strong>a</strong>", "<code>b</code>", "<ol", "<table", "<s>f</s>"):
        assert piece in html


def test_code_is_coloured_by_classes_alone() -> None:
    html = render_markdown("```python\nreturn 'a<b'\n```")
    assert '<span class="hl-k">return</span>' in html and "style=" not in html and "a&lt;b" in html


def test_code_of_a_language_nobody_knows_stays_as_it_is() -> None:
    assert "<span" not in render_markdown("```no-such-language\nreturn\n```")


def test_headings_lie_below_the_page_s_own_and_skip_no_level() -> None:
    html = render_markdown("#### a\n\n# b\n\n### c")
    assert re.findall(r"<h(\d)", html) == ["3", "3", "4"]


def test_images_are_not_fetched() -> None:
    assert "<img" not in render_markdown("![p](http://elsewhere.example/x.png)")


def test_links_tell_the_other_side_nothing() -> None:
    assert 'rel="noopener noreferrer nofollow"' in render_markdown("[a](http://b.example)")


def test_every_block_finds_its_own_direction() -> None:
    assert render_markdown("שלום\n\nhello").count('<p dir="auto">') == 2


@pytest.mark.parametrize(
    "text", ["[secret]: http://b.example", "- " * 60 + "secret", "1. " * 25 + "secret", ">" * 19 + "secret"]
)
def test_no_words_vanish(text: str) -> None:
    assert "secret" in words(render_markdown(text))


def test_every_depth_of_quotes_keeps_its_words() -> None:
    for depth in range(1, 2 * NESTED_AT_MOST):
        assert "secret" in words(render_markdown("> " * depth + "secret")), depth


def test_a_very_long_text_is_shown_as_it_is() -> None:
    html = render_markdown("**a** <b>\n" * 20_000)
    assert html.startswith('<pre class="plain"') and "&lt;b&gt;" in html and "**a**" in html


@pytest.mark.parametrize("piece", ["[", "![[", "**a*", "[a](", "`a", "> ", "<a ", "|a", "- "])
def test_hostile_length_costs_seconds_at_most(piece: str) -> None:
    started = time.process_time()
    render_markdown((piece * RENDERED_AT_MOST)[:RENDERED_AT_MOST])
    assert time.process_time() - started < 5


def test_a_lone_surrogate_does_not_stop_a_page() -> None:
    assert "before" in render_markdown("before \ud800 after")
