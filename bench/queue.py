"""How many judgments a second one large queue takes, how long a person waits, and what a claim costs.

    bin/bench queue [--annotators 16 64] [--items 125000] [--seconds 20] [--server postgres://...] [--curve 1000000]

Against the real server (gunicorn, 2 workers of 8 threads) on the same machine as the annotators, over a queue of
which 20% is done; a judgment is one request, which stores it and leases the next item. `closed`: without a pause.
`think`: a second before each judgment. `import`: as `think`, while prompts are brought in. Overlap is counted again
in SQL. `server_cpu_ms` is the web processes' own time a judgment, which a busy machine distorts least. `curve`: the
claim's own statement over queues of 1,000 to 1,000,000 items, and how the database goes about it.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench._common import ROOT, percentile, print_table, write_results
from bench._site import Site, running

OVER = """
SELECT COUNT(*) FROM (
  SELECT j.item_id FROM feedback_judgment j JOIN feedback_queue q ON q.id = j.queue_id
  WHERE q.slug = '{slug}' AND j.withdrawn_at IS NULL GROUP BY j.item_id, q.overlap HAVING COUNT(*) > q.overlap
) AS over_their_overlap
"""
SLUG = "big"
DONE = 0.2
PROMPTS = 30_000
NAMES = (
    "judgments_per_s",
    "judge_p50_ms",
    "judge_p95_ms",
    "server_cpu_ms",
    "judgments",
    "items_over_overlap",
    "errors",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench queue", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--annotators", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--items", type=int, default=125_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--curve", type=int, default=1_000_000, help="the largest queue of the curve; 0: no curve")
    parser.add_argument("--server", default=os.environ.get("TEST_DATABASE_URL"), help="PostgreSQL's address, or none")
    options = parser.parse_args()
    servers = {"sqlite": ""}
    if server := find_server(options.server):
        servers["postgresql"] = server
    figures: dict[str, Any] = {}
    for name, server in servers.items():
        figures[name] = measure(server, options.annotators, options.items, options.seconds)
        if options.curve:
            figures[name]["curve"] = curve(server, options.curve)
        print(f"written to {write_results('queue', figures)}")
    report(figures)


def find_server(named: str | None) -> str:
    """The PostgreSQL to use: the one named, else the standard local ones; "" where none lets us in."""
    if named == "none":
        return ""
    import psycopg

    user = getpass.getuser()
    local = ["postgres://postgres@127.0.0.1:5432/postgres", f"postgres://{user}@%2Fvar%2Frun%2Fpostgresql/postgres"]
    for url in [named] if named else local:
        try:
            psycopg.connect(url, connect_timeout=3).close()
            return url
        except psycopg.OperationalError as error:
            reason = str(error).splitlines()[0]
    print(f"left out: PostgreSQL ({reason})")
    return ""


def measure(server: str, annotators: list[int], items: int, seconds: float) -> dict[str, Any]:
    """Figures on one database: closed loop by number of annotators, with thinking time, and beside an import."""
    people = [f"ann{n}" for n in range(max(annotators))]
    found: dict[str, Any] = {}
    with running(server) as site:
        site.make_people([("past", "annotator"), *((name, "annotator") for name in people)])
        run(site, "bench._seed", SLUG, str(items), str(int(items * DONE)), "past", *people)
        load(site, people[:16], 3, 0)
        for n in annotators:
            found[f"closed, {n}"] = figures_of(site, people[:n], seconds, 0)
        found["think, 16"] = figures_of(site, people[:16], seconds, 1000)
        with importing(site) as done:
            found["import, 16"] = figures_of(site, people[:16], seconds, 1000)
        found["import, 16"]["prompts_per_s"] = done.get("prompts_per_s")
    return found


def run(site: Site, module: str, *words: str) -> str:
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, env=site.environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def load(site: Site, people: list[str], seconds: float, think_ms: int) -> dict[str, Any]:
    """What annotators over HTTP saw in so many seconds (see bench/_load.py)."""
    at = urlsplit(site.url)
    tokens = [site.tokens[name] for name in people]
    words = [str(at.hostname), str(at.port), SLUG, str(seconds), str(think_ms), *tokens]
    return json.loads(run(site, "bench._load", *words))


def figures_of(site: Site, people: list[str], seconds: float, think_ms: int) -> dict[str, Any]:
    before, used = stored(site), site.cpu_seconds()
    tally = load(site, people, seconds, think_ms)
    used = site.cpu_seconds() - used
    n = max(tally["judgments"], 1)
    return {
        "judgments": tally["judgments"],
        "judgments_stored": stored(site) - before,
        "judgments_per_s": round(tally["judgments"] / tally["seconds"], 1),
        "judge_p50_ms": rounded(percentile(tally["judge_ms"], 0.5)),
        "judge_p95_ms": rounded(percentile(tally["judge_ms"], 0.95)),
        "server_cpu_ms": rounded(1000 * used / n),
        "client_cpu_ms": rounded(1000 * tally["client_cpu_s"] / n),
        "items_over_overlap": site.query(OVER.format(slug=SLUG))[0][0],
        "errors": len(tally["errors"]),
        "first_errors": tally["errors"][:3] + ([site.said()] if tally["errors"] else []),
    }


def stored(site: Site) -> int:
    return site.query(f"SELECT COUNT(*) FROM feedback_judgment j JOIN feedback_queue q ON q.id = j.queue_id "
                      f"WHERE q.slug = '{SLUG}'")[0][0]  # fmt: skip


@contextmanager
def importing(site: Site) -> Iterator[dict[str, float]]:
    """A file of prompts on its way in through the command, for as long as the block runs."""
    path = Path(site.environment["PLUMBLINE_HOME"]) / "prompts.jsonl"
    with path.open("w") as file:
        for n in range(PROMPTS):
            text = f"What about number {n} and its many friends, said in a sentence of ordinary length?"
            file.write(json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n")
    command = [sys.executable, "manage.py", "import_prompts", str(path), "--queue", SLUG]
    found: dict[str, float] = {}
    start = time.perf_counter()
    worker = subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=subprocess.DEVNULL)
    try:
        yield found
    finally:
        worker.wait()
        found["prompts_per_s"] = round(PROMPTS / (time.perf_counter() - start), 1)


def curve(server: str, largest: int) -> dict[str, Any]:
    """By number of items: the claim's statement in ms (median of 50), and the plan's first lines."""
    found = {}
    size = 1000
    while size <= largest:
        with running(server) as site:
            site.make_people([("past", "annotator"), ("ann0", "annotator")])
            run(site, "bench._seed", SLUG, str(size), str(int(size * DONE)), "past", "ann0")
            found[str(size)] = json.loads(run(site, "bench._claims", SLUG, "ann0").splitlines()[-1])
        size *= 10
    return found


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def report(figures: dict[str, Any]) -> None:
    rows = [
        [database, what, *(found.get(name) for name in NAMES)]
        for database, by_load in figures.items()
        for what, found in by_load.items()
        if what != "curve"
    ]
    print_table(["database", "load", *NAMES], rows)
    for database, by_load in figures.items():
        for size, found in by_load.get("curve", {}).items():
            times = f"statement {found['statement_ms']} ms, in all {found['claim_ms']} ms"
            print(f"{database}, {size} items, a claim: {times}")


if __name__ == "__main__":
    main()
