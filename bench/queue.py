"""How many judgments a second one queue takes: 16 annotators flat out, over HTTP, on both databases.

    bin/bench queue [--annotators 16] [--items 400] [--server postgres://...]

Every judgment is one request, which stores it and leases the next item; the real server (gunicorn, 2
workers of 8 threads), annotators without a pause, on the same machine. Overlap is counted again in SQL.
`server_cpu_ms` is the web processes' own time a judgment, which a busy machine distorts least.
"""

from __future__ import annotations

import argparse
import getpass
import os
from typing import Any

from bench._annotators import Tally, fill, work
from bench._common import percentile, print_table, write_results
from bench._site import Site, running

OVER = """
SELECT COUNT(*) FROM (
  SELECT j.item_id FROM feedback_judgment j JOIN feedback_queue q ON q.id = j.queue_id
  WHERE q.slug = '{slug}' AND j.withdrawn_at IS NULL GROUP BY j.item_id, q.overlap HAVING COUNT(*) > q.overlap
) AS over_their_overlap
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench queue", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--annotators", type=int, default=16)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--server", default=os.environ.get("TEST_DATABASE_URL"), help="PostgreSQL's address, or none")
    options = parser.parse_args()
    servers = {"sqlite": ""}
    if server := find_server(options.server):
        servers["postgresql"] = server
    figures = {name: measure(server, options.annotators, options.items) for name, server in servers.items()}
    report(figures)
    print(f"written to {write_results('queue', figures)}")


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


def measure(server: str, annotators: int, items: int) -> dict[str, Any]:
    """Figures with overlap 1 and 3, on one database."""
    people = [f"ann{n}" for n in range(annotators)]
    found = {}
    with running(server) as site:
        site.make_people([("ada", "admin"), *((name, "annotator") for name in people)])
        fill(site, slug="warm-up", items=50, overlap=1, annotators=people)
        work(site, slug="warm-up", annotators=people)
        for overlap in (1, 3):
            slug = f"overlap-{overlap}"
            fill(site, slug=slug, items=items, overlap=overlap, annotators=people)
            found[slug] = figures_of(site, slug, work(site, slug=slug, annotators=people))
    return found


def figures_of(site: Site, slug: str, tally: Tally) -> dict[str, Any]:
    stored = site.query(f"SELECT COUNT(*) FROM feedback_judgment j JOIN feedback_queue q ON q.id = j.queue_id "
                        f"WHERE q.slug = '{slug}'")[0][0]  # fmt: skip
    return {
        "judgments": len(tally.judgments),
        "judgments_stored": stored,
        "judgments_per_s": round(len(tally.judgments) / tally.seconds, 1),
        "server_cpu_ms": rounded(1000 * tally.server_cpu_seconds / max(len(tally.judgments), 1)),
        "judge_p50_ms": rounded(percentile(tally.judge_ms, 0.5)),
        "judge_p95_ms": rounded(percentile(tally.judge_ms, 0.95)),
        "claim_p50_ms": rounded(percentile(tally.claim_ms, 0.5)),
        "items_over_overlap": site.query(OVER.format(slug=slug))[0][0],
        "errors": len(tally.errors),
        "first_errors": tally.errors[:3] + ([site.said()] if tally.errors else []),
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def report(figures: dict[str, Any]) -> None:
    names = (
        "judgments_per_s",
        "server_cpu_ms",
        "judge_p50_ms",
        "judge_p95_ms",
        "judgments",
        "items_over_overlap",
        "errors",
    )
    rows = [
        [database, slug, *(found[name] for name in names)]
        for database, by_queue in figures.items()
        for slug, found in by_queue.items()
    ]
    print_table(["database", "queue", *names], rows)


if __name__ == "__main__":
    main()
