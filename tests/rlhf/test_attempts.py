"""Whoever was thought dead and comes back changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from feedback.errors import StaleTransition
from rlhf import attempts
from rlhf.attempts import Ending
from rlhf.models import Base, Run
from tests.rlhf.scripted import ordered, scripted  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("scripted")]


def replaced() -> Run:
    """A run as attempt 1 remembers it, while attempt 2 of another worker is running."""
    run = ordered()
    attempts.claim(run, owner="slow:1")
    Run.objects.filter(pk=run.pk).update(attempt=2, owner="quick:1")
    return run


def output(folder: Path) -> Path:
    (folder / "out").mkdir()
    (folder / "out" / "weights.txt").write_text("stale")
    (folder / "result.json").write_text("{}")
    (folder / "error.json").write_text('{"message": "stale"}')
    return folder


@pytest.mark.parametrize("code", [0, 1, -9, 20])
def test_an_attempt_that_was_replaced_ends_nothing(code: int, tmp_path: Path) -> None:
    run = replaced()
    with contextlib.suppress(StaleTransition):
        attempts.conclude(run, Ending(code=code, folder=output(tmp_path)))
    now = Run.objects.get(pk=run.pk)
    assert (now.status, now.attempt, now.owner, now.error, now.crashes) == ("running", 2, "quick:1", None, 0)
    assert not Base.objects.exists()


@pytest.mark.parametrize(
    "say",
    [
        lambda run: attempts.put_back(run, "stale"),
        lambda run: attempts.give_up(run, "stale", "stale"),
    ],
)
def test_an_attempt_that_was_replaced_moves_nothing(say: Callable[[Run], None]) -> None:
    run = replaced()
    say(run)
    assert Run.objects.get(pk=run.pk).status == "running"


def test_an_attempt_that_was_replaced_is_told_at_its_next_beat() -> None:
    run = replaced()
    with pytest.raises(StaleTransition):
        attempts.beat(run)


def test_only_one_of_two_claims_succeeds() -> None:
    run = ordered()
    other = Run.objects.get(pk=run.pk)
    attempts.claim(run, owner="one:1")
    with pytest.raises(StaleTransition):
        attempts.claim(other, owner="two:1")
    assert Run.objects.get(pk=run.pk).attempt == 1
