"""What the gate really does: simulated decisions through the real code, on a real database.

    bin/bench decide [--simulations 500] [--seed 0] [--processes 2]

equal, worse, better: a candidate that truly wins .50, .45 or .65 of the votes and is equal in all else, put to the
vote of sixteen people at once (losses are read 1.5 times as long as wins), with every guardrail declared; how often
is it promoted? `as_they_arrive` is what the same votes would have given, counted in the order of arrival. rules: votes
that each rule needs at a true .6, and how often it promotes under looking after every vote.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.stats import binom

from bench._common import print_table, write_results
from feedback.stats.sequential import Rule, log_statistic, stopping_times

LIMIT = 200
SCENARIOS = {"equal": 0.5, "worse": 0.45, "better": 0.65}
MARGINS = {"figure:quiz:accuracy": 0.03}
CHUNK = 50  # decisions that one process simulates on one database
HORIZON = 4000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench decide", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    votes = {"rules": rules(8 * options.simulations, options.seed)}
    for decided in simulate_all(options.simulations, options.processes, options.seed):
        found = {name: summary(rows) for name, rows in decided.items() if rows}
        figures = {**found, **votes, "seconds": round(time.monotonic() - started, 1)}
        path = write_results("decide", figures)  # as far as it has come: the whole takes a while
    report(figures)
    print(f"written to {path}")


def simulate_all(simulations: int, processes: int, seed: int) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Scenario -> one row a simulated decision, again and again as they come; each process has its own database."""
    work = [
        (name, list(range(seed + start, seed + min(start + CHUNK, simulations))))
        for start in range(0, simulations, CHUNK)
        for name in SCENARIOS
    ]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SCENARIOS}
    with ProcessPoolExecutor(processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name, rows in pool.map(_in_own_database, work):
            found[name] += rows
            promoted = sum(row["promoted"] for row in found[name])
            print(f"{name}: {promoted} of {len(found[name])} promoted", flush=True)
            yield found


def _in_own_database(work: tuple[str, list[int]]) -> tuple[str, list[dict[str, Any]]]:
    """A worker's share of one scenario."""
    name, seeds = work
    home = tempfile.mkdtemp(prefix="plumbline-decide-")
    os.environ |= {"PLUMBLINE_HOME": home, "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "config.settings"}
    try:
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        rows = run_scenario(name, seeds)
        connections.close_all()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return name, rows


def run_scenario(name: str, seeds: list[int], people: int = 16) -> list[dict[str, Any]]:
    """The simulated decisions of one scenario, on the database that Django has."""
    from bench._decisions import make_world, simulate

    world = make_world(people, LIMIT)
    rule = Rule(limit=LIMIT)
    return [asdict(simulate(world, share=SCENARIOS[name], rule=rule, seed=s, margins=MARGINS)) for s in seeds]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of promotions, votes read, and which guardrails stood in the way of how many."""
    votes = [row["votes"] for row in rows]
    blocked = [name for row in rows for name in row["blocked"] if row["by_votes"]]
    return {
        "simulations": len(rows),
        "promoted": sum(row["promoted"] for row in rows),
        "promoted_by_votes": sum(row["by_votes"] for row in rows),
        "as_they_arrive": sum(row["arrived"] for row in rows),
        "share": round(sum(row["promoted"] for row in rows) / len(rows), 4),
        "mean_votes": round(float(np.mean(votes)), 1),
        "blocked_by": {name: blocked.count(name) for name in sorted(set(blocked))},
        "most_at_alpha_05": int(binom.ppf(0.99, len(rows), 0.05)),
    }


def rules(simulations: int, seed: int) -> dict[str, Any]:
    """Each rule without a limit: promotions at .5 and .45, votes to a promotion at .6."""
    found = {}
    for name in ("sprt", "mixture", "betting"):
        rule = Rule(name=name)  # type: ignore[arg-type]
        equal, _ = looks(rule, 0.5, simulations, seed)
        worse, _ = looks(rule, 0.45, simulations, seed)
        better, votes = looks(rule, 0.6, simulations, seed)
        found[name] = {
            "promoted_at_50": equal, "promoted_at_45": worse, "promoted_at_60": better,
            "mean_votes_at_60": round(float(np.mean(votes)), 1), "median_votes_at_60": float(np.median(votes)),
        }  # fmt: skip
    return found


def looks(rule: Rule, share: float, simulations: int, seed: int) -> tuple[float, np.ndarray]:
    """(share promoted, votes at the decision) with a look after every one of up to HORIZON votes."""
    rng = np.random.default_rng(seed)
    promoted, stops = 0, []
    for start in range(0, simulations, 500):
        count = min(500, simulations - start)
        path = log_statistic(rule, (rng.random((count, HORIZON)) < share).astype(float))
        stop = np.minimum(stopping_times(rule, path), HORIZON).astype(int)
        promoted += int((path[np.arange(count), stop - 1] >= rule.upper).sum())
        stops.append(stop)
    return round(promoted / simulations, 4), np.concatenate(stops)


def report(figures: dict[str, Any]) -> None:
    names = ("simulations", "promoted", "share", "promoted_by_votes", "as_they_arrive", "mean_votes", "blocked_by")
    print_table(("candidate", *names), [(s, *(figures[s][n] for n in names)) for s in SCENARIOS])
    print()
    columns = list(figures["rules"]["sprt"])
    print_table(("rule", *columns), [(rule, *row.values()) for rule, row in figures["rules"].items()])


if __name__ == "__main__":
    main()
