from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

ERROR_PAGES = "feedback.middleware.ErrorPages"


@pytest.fixture(autouse=True)
def error_pages(settings: Settings) -> None:
    """What goes wrong is told by it, whatever else the site's settings hold."""
    if ERROR_PAGES not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, ERROR_PAGES]
