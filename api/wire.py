"""JSON in and out, by orjson; every text in a body is checked once, here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from feedback import clean_text
from feedback.errors import BadInput, TooLarge


class OrjsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)


class OrjsonParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The body as Python values. Raises TooLarge, or BadInput naming the path of what is wrong."""
        return read_json(read_body(stream))


class JsonOnly(BaseContentNegotiation):
    """Whatever `Accept` says, the answer is JSON: a browser that opens an address sees it."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((p for p in parsers if p.media_type == kind), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def read_body(stream: Any) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    announced = getattr(stream, "META", {}).get("CONTENT_LENGTH") or "0"
    if announced.isdecimal() and int(announced) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes; send it in parts.", limit=limit)
    return stream.read()


def read_json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as broken:
        value = _with_surrogates(body, broken)
    try:
        return clean_text.clean(value)
    except clean_text.BadText as bad:
        raise BadInput(f"{bad.path}: {bad.reason}", where=bad.path) from bad


def _with_surrogates(body: bytes, broken: orjson.JSONDecodeError) -> Any:
    """orjson refuses lone surrogates without saying where; Python's own reader lets them through to be named."""
    if "surrogate" in str(broken) and b"\\u" in body:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass
    raise BadInput(f"The body is not JSON: {broken}.", where=f"line {broken.lineno} column {broken.colno}")


def one(data: Any) -> dict[str, Any]:
    """The body of a call that takes one object (no body counts as an empty one)."""
    if data is None or data == "":
        return {}
    if not isinstance(data, Mapping):
        raise BadInput("Expected one JSON object.", where="")
    return dict(data)


BULK = 1000


def many(data: Any) -> list[Any]:
    """The body of a bulk call: a list of at most 1,000 objects (413 above)."""
    if not isinstance(data, list):
        raise BadInput("Expected a JSON list of objects.", where="")
    if len(data) > BULK:
        raise TooLarge(f"At most {BULK} objects a call; this one has {len(data)}.", limit=BULK)
    for i, row in enumerate(data):
        if not isinstance(row, dict):
            raise BadInput(f"[{i}]: expected an object.", where=f"[{i}]")
    return data
