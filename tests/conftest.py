"""What every test may ask for; services that `bin/test` did not find are skipped with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.conf import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-database",
        action="store_true",
        help="only tests marked `database`: the second pass of bin/test, on PostgreSQL",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-database"):
        others = [item for item in items if item.get_closest_marker("database") is None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.get_closest_marker("database")]


def _found(name: str, what: str) -> str:
    address = os.environ.get(name)
    if not address or address == "none":
        pytest.skip(f"no {what}: {name} is {address or 'not set'} (bin/test looks for one)")
    return address


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that tests share with others: use settings.PLUMBLINE_KEY_PREFIX, never flush."""
    return _found("TEST_REDIS_URL", "Redis")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    return _found("TEST_CHROMIUM", "Chromium")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The directory of real comparisons, which the project does not carry."""
    root = Path(__file__).resolve().parent.parent
    path = (root / os.environ.get("PLUMBLINE_TEST_DATA", "../shared/data")).resolve()
    if not path.is_dir():
        pytest.skip("no real data: PLUMBLINE_TEST_DATA names no directory")
    return path


@pytest.fixture(scope="session", autouse=True)
def static_root() -> None:
    """WhiteNoise warns when the directory of collected files is missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
