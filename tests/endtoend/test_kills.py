"""kill -9 of the worker during DPO, then of Redis, then of everything, while somebody labels over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endtoend.site import Site, wait_for
from tests.endtoend.world import TRAIN, WORLD, Labeller, check, state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.start()
    yield site
    site.kill()


def test_kills_of_worker_redis_and_everything_lose_nothing_and_finish_once(site: Site) -> None:
    world = site.ask(WORLD)
    wait_for(lambda: state(site, world["run"])[0] == "done", 180, "the tiny model")
    run = site.ask(TRAIN)
    labeller = Labeller(site, world["token"])
    labeller.start()

    def past(step: int, attempt: int) -> None:
        wait_for(
            lambda: (s := state(site, run))[1] >= step and s[2] >= attempt, 240, f"step {step} of attempt {attempt}"
        )

    past(20, 1)
    assert site.with_library("libtorch") == site.running("rlhf.engine") != set()  # trl lives in the engine alone
    assert site.kill("celery", "train") > 0
    past(60, 2)
    assert site.kill("redis-server") == 1
    past(100, 2)
    assert site.kill() > 5
    site.start()
    wait_for(lambda: state(site, run)[0] == "done", 300, "the trained policy")
    labeller.finish()
    assert len(labeller.stored) > 20
    check(site, run, labeller.stored)
    site.stop()
    assert site.processes() == {}
