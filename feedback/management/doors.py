"""What commands share: our errors as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from feedback.errors import PlumblineError


@contextmanager
def clear_errors() -> Iterator[None]:
    """Our exceptions become one line and exit code 1."""
    try:
        yield
    except PlumblineError as wrong:
        raise CommandError(wrong.message) from wrong
