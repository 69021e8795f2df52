"""What takes too long for every change: kills, simulated decisions, fuzzed files.

    bin/bench endurance [--only loop] [--kills 20] [--simulations 20000] [--cases 20000] [--seed 0]

kills: kill -9 of engine, worker, web, Redis, or everything, at random moments of a DPO run on the tiny model while
somebody labels over HTTP; the run must finish once and no confirmed judgment may be lost. loop: the same at random
moments of a whole turn of the toy loop, from the first judgment to the next questions; it must close, with every step
once. decisions: false promotions
of each stopping rule when one looks after every vote, and the votes needed at a true .6. fuzz: hostile transcripts and
texts through the reader, the renderer and the style features; none may crash, the slowest is told.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench._common import RESULTS, print_table, write_results
from feedback.formats.hh import read_hh
from feedback.stats.sequential import Rule, log_statistic, stopping_times
from feedback.stats.style import style_features
from tests.endtoend import circle
from tests.endtoend.site import Site, wait_for
from tests.endtoend.world import TRAIN, WORLD, Labeller, check, state

VICTIMS: dict[str, tuple[str, ...]] = {
    "engine": ("rlhf.engine",),
    "train worker": ("celery", "train"),
    "default worker": ("celery", "default"),
    "beat": ("celery", "beat"),
    "web": ("gunicorn",),
    "Redis": ("redis-server",),
    "everything": (),
}
HORIZON = 2000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench endurance", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--simulations", type=int, default=20_000)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", choices=("decisions", "fuzz", "kills", "loop"), help="one part; the others stay as written"
    )
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "decisions": lambda: decisions(options.simulations, options.seed),
        "fuzz": lambda: fuzz(options.cases, options.seed),
        "kills": lambda: kills(options.kills, options.seed),
        "loop": lambda: loop_kills(options.kills, options.seed),
    }
    chosen = [options.only] if options.only else list(parts)
    figures = earlier(chosen) | {name: parts[name]() for name in chosen}
    print_table(("what", "figure", "value"), [(a, b, c) for a, part in figures.items() for b, c in part.items()])
    print(f"written to {write_results('endurance', figures)}")


def earlier(chosen: list[str]) -> dict[str, Any]:
    """The figures of the parts that are not measured now."""
    path = RESULTS / "endurance.json"
    found = json.loads(path.read_text())["figures"] if path.exists() else {}
    return {name: figures for name, figures in found.items() if name not in chosen}


def decisions(simulations: int, seed: int) -> dict[str, Any]:
    """Shares promoted at true .5 and .45, and the votes to a decision at .6, by rule."""
    found: dict[str, Any] = {}
    for name in ("sprt", "betting", "mixture"):
        rule = Rule(name=name, limit=HORIZON)  # type: ignore[arg-type]
        for p in (0.5, 0.45, 0.6):
            promoted, votes = _simulate(rule, p, simulations if p != 0.6 else simulations // 10, seed)
            found[f"{name}, true {p}: promoted"] = round(promoted, 4)
            if p == 0.6:
                found[f"{name}, true {p}: mean / median votes"] = votes
    return found


def _simulate(rule: Rule, p: float, simulations: int, seed: int) -> tuple[float, str]:
    rng, promoted, stops = np.random.default_rng(seed), 0, []
    for start in range(0, simulations, 1000):
        votes = (rng.random((min(1000, simulations - start), HORIZON)) < p).astype(float)
        path = log_statistic(rule, votes)
        stop = np.minimum(stopping_times(rule, path), HORIZON).astype(int)
        promoted += int((path[np.arange(len(path)), stop - 1] >= rule.upper).sum())
        stops.append(stop)
    all_stops = np.concatenate(stops)
    return promoted / simulations, f"{all_stops.mean():.0f} / {np.median(all_stops):.0f}"


def fuzz(cases: int, seed: int) -> dict[str, Any]:
    """Cases that went through, and the slowest of each target in ms."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from feedback.rendering import render_markdown

    targets: dict[str, Callable[[str], object]] = {
        "hh reader": lambda text: list(read_hh(io.BytesIO(text.encode("utf-8", "surrogatepass")))),
        "markdown": render_markdown,
        "style": lambda text: style_features(text[::-1], text),
    }
    rng, found = random.Random(seed), {}
    texts = [_hostile(rng) for _ in range(cases // len(targets))]
    for name, target in targets.items():
        slowest = 0.0
        for text in texts:
            began = time.perf_counter()
            target(text)
            slowest = max(slowest, time.perf_counter() - began)
        found[f"{name}: cases"] = len(texts)
        found[f"{name}: slowest, ms"] = round(1000 * slowest, 1)
    return found


PIECES = [
    "\n\nHuman: ", "\n\nAssistant: ", "hello", '{"chosen": "', '", "rejected": "', '"}\n', "\\u0000",
    "\ud800", "\u202e", "<script>alert(1)</script>", "[x](javascript:alert(1))", "```\n", "`", "*", "_", "> ", "- ",
    "| a | b |\n|---|---|\n", "<!--", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚", "\x00", "é", "😀", "&lt;", "\r\n", "((((", "]]]]", "1. ", "#", "   ",
]  # fmt: skip


def _hostile(rng: random.Random) -> str:
    text = "".join(rng.choice(PIECES) * rng.choice((1, 1, 1, 3, 40)) for _ in range(rng.randint(1, 60)))
    if rng.random() < 0.3:
        turn = f"\n\nHuman: {text}\n\nAssistant: "
        return json.dumps({"chosen": turn + "yes", "rejected": turn + rng.choice(["no", "", "yes"])})
    return text


def kills(count: int, seed: int) -> dict[str, Any]:
    """Kills dealt by victim, attempts that the run needed, judgments confirmed meanwhile."""
    rng, dealt = random.Random(seed), dict.fromkeys(VICTIMS, 0)
    with tempfile.TemporaryDirectory() as home:
        site = Site(Path(home))
        try:
            site.start()
            world = site.ask(WORLD)
            wait_for(lambda: state(site, world["run"])[0] == "done", 240, "the tiny model")
            run = site.ask(TRAIN)
            labeller = Labeller(site, world["token"])
            labeller.start()
            for _ in range(count):
                time.sleep(rng.uniform(1, 15))
                victim = rng.choice(list(VICTIMS))
                dealt[victim] += bool(site.kill(*VICTIMS[victim]))
                if victim == "everything":
                    site.start()
            wait_for(lambda: state(site, run)[0] in ("done", "failed"), 900, "the end of the run")
            labeller.finish()
            assert state(site, run)[0] == "done", state(site, run)
            check(site, run, labeller.stored)
            attempts = state(site, run)[2]
        finally:
            site.kill()
    return {
        **{f"kills: {name}": n for name, n in dealt.items()},
        "attempts": attempts,
        "judgments": len(labeller.stored),
    }


def loop_kills(count: int, seed: int) -> dict[str, Any]:
    """Kills dealt by victim during one turn of the toy loop, attempts that its runs needed, seconds to its close."""
    rng, dealt, began = random.Random(seed), dict.fromkeys(VICTIMS, 0), time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        site = Site(Path(home))
        people = circle.People(site, Path(home) / "people.log")
        try:
            site.start()
            site.ask(circle.SEED)
            people.start()
            wait_for(lambda: circle.judged(site), 900, "the first judgments")
            while sum(dealt.values()) < count and circle.state(site)[0] not in ("closed", "failed"):
                time.sleep(rng.uniform(5, 40))
                victim = rng.choice(list(VICTIMS))
                dealt[victim] += bool(site.kill(*VICTIMS[victim]))
                if victim == "everything":
                    site.start()
                print(f"{time.monotonic() - began:6.0f} s: killed {victim}; {' '.join(circle.state(site))}", flush=True)
            wait_for(lambda: circle.state(site)[0] in ("closed", "failed"), 1800, "the end of the round")
            facts = circle.check(site)
        finally:
            people.done.set()
            site.kill()
    return {
        **{f"kills: {name}": n for name, n in dealt.items()},
        "runs": len(facts["runs"]),
        "attempts": facts["attempts"],
        "judgments": facts["judgments"],
        "seconds": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    main()
