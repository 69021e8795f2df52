"""Text written by a model, shown as HTML that can do no harm."""

from __future__ import annotations

from functools import lru_cache

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

RENDERED_AT_MOST = 20_000  # characters; longer text is shown as it is, since parsing may take seconds
FORMATTER = HtmlFormatter(nowrap=True, classprefix="hl-")
NESTED_AT_MOST = 20  # quotes and lists in one another; the parser drops what lies deeper

TAGS = {"p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
TAGS |= {"span", "table", "thead", "tbody", "tr", "th", "td", "h3", "h4", "h5", "h6"}
ATTRIBUTES = {"*": {"dir"}, "a": {"href", "title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}}


def _adapt(state: StateCore) -> None:
    """Headings go below the page's own and skip no level; every block finds its own direction of writing."""
    above = 2
    for token in state.tokens:
        if token.type == "heading_open":
            above = min(int(token.tag[1]) + 2, above + 1, 6)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{above}"
        if token.level >= NESTED_AT_MOST - 2:
            state.env["too_deep"] = True
        if token.nesting == 1:
            token.attrSet("dir", "auto")


def _highlight(code: str, language: str, _attributes: str) -> str:
    """Spans with classes hl-*, coloured by the style sheet; "" (as it is) for a language that nobody knows."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False) if language else None
    except ClassNotFound:
        lexer = None
    return highlight(code, lexer, FORMATTER) if lexer else ""


def _parser() -> MarkdownIt:
    # Images are not fetched: an address in an answer must not learn who reads it.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _highlight})
    parser.enable(["table", "strikethrough"])
    # Nor may words vanish: definitions of links stay text.
    parser.disable(["image", "reference"])
    parser.options["maxNesting"] = NESTED_AT_MOST
    parser.core.ruler.push("plumbline", _adapt)
    return parser


PARSER = _parser()


@lru_cache(maxsize=512)
def render_markdown(text: str) -> SafeString:
    """Safe HTML of a Markdown text; hostile markup comes out as visible characters."""
    env: dict[str, bool] = {}
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate can be neither stored nor sent
    html = PARSER.render(text, env) if len(text) <= RENDERED_AT_MOST else ""
    if len(text) > RENDERED_AT_MOST or "too_deep" in env:
        return mark_safe(f'<pre class="plain" dir="auto">{escape(text)}</pre>')
    return mark_safe(
        nh3.clean(
            html,
            tags=TAGS,
            attributes=ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )
