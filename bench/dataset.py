"""`bin/bench dataset [--judgments N ...] [--only sqlite|postgresql]`: from judgments to a frozen dataset.

For each number of generated, imported judgments and each database: settle all of them, then aggregate, split
and write the dataset, in a process of its own whose peak memory is told. Beside it, in the same run, the bare
floor: a queryset iterator over the same pairs with their texts, and a pyarrow writer. Filling the database is
not measured. PostgreSQL is the server of TEST_DATABASE_URL, or the standard port as `postgres`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._common import ROOT, print_table, write_results

SIZES = (10_000, 100_000, 1_000_000)
SERVER = os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1:5432/postgres"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bin/bench dataset")
    parser.add_argument("--judgments", type=int, nargs="*", default=SIZES)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--step", choices=("fill", "build", "floor"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        print(json.dumps(STEPS[options.step](options.judgments[0])))
        return 0
    figures: dict[str, Any] = {"curve": [], "label_studio_export_tasks_per_s": "300-900 (measured on its own)"}
    for database in [options.only] if options.only else ["sqlite", "postgresql"]:
        for judgments in options.judgments:
            with place(database) as environment:
                figures["curve"].append({"database": database, **measure(judgments, environment)})
                show(figures["curve"][-1:])
    show(figures["curve"])
    print(f"written to {write_results('dataset', figures)}")
    return 0


class place:
    """A home and an empty database; both go afterwards."""

    def __init__(self, database: str) -> None:
        self.database, self.name = database, f"bench_dataset_{os.getpid()}"

    def __enter__(self) -> dict[str, str]:
        self.folder = tempfile.TemporaryDirectory(prefix="plumbline-bench-")
        environment = {**os.environ, "PLUMBLINE_HOME": self.folder.name, "DJANGO_SETTINGS_MODULE": "config.settings"}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DATABASE_URL": ""}
        if self.database == "postgresql":
            self._server(f'CREATE DATABASE "{self.name}"')
            environment["DATABASE_URL"] = SERVER.rsplit("/", 1)[0] + "/" + self.name
        run(["manage.py", "migrate", "-v0"], environment)
        return environment

    def __exit__(self, *failure: Any) -> None:
        self.folder.cleanup()
        if self.database == "postgresql":
            self._server(f'DROP DATABASE "{self.name}" WITH (FORCE)')

    def _server(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(SERVER, autocommit=True) as connection:
            connection.execute(sql)  # type: ignore[call-overload]


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout


def measure(judgments: int, environment: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for step in STEPS:
        out = run(["-m", "bench.dataset", "--step", step, "--judgments", str(judgments)], environment)
        found |= json.loads(out.strip().splitlines()[-1])
    return found


def fill(judgments: int) -> dict[str, Any]:
    setup()
    from bench import _judgments

    start = time.perf_counter()
    return {**_judgments.fill(judgments), "fill_s": round(time.perf_counter() - start, 1)}


def build(judgments: int) -> dict[str, Any]:
    setup()
    from feedback import aggregation
    from feedback.models import Queue
    from rlhf import artifacts, reward_datasets

    start, cpu = time.perf_counter(), time.process_time()
    while aggregation.gather(limit=20_000):
        pass
    settled, settled_cpu = time.perf_counter(), time.process_time()
    ordered = reward_datasets.order(name="bench", queues=[Queue.objects.get(slug="bench")])
    dataset = reward_datasets.build(dataset_id=ordered.pk)
    end = time.perf_counter()
    assert dataset.status == "ready", dataset.error
    rows = sum(dataset.counts["rows"].values())
    size = sum(p.stat().st_size for p in artifacts.path_of(dataset.artifact).iterdir())
    return {
        "settle_s": round(settled - start, 2), "build_s": round(end - settled, 2), "total_s": round(end - start, 2),
        "processor_s": round(time.process_time() - cpu, 2), "settle_processor_s": round(settled_cpu - cpu, 2),
        "rows": rows, "rows_per_s": round(rows / (end - settled)), "megabytes": round(size / 1e6, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3), "digest": dataset.digest,
        "load_before": os.getloadavg()[0],
    }  # fmt: skip


def floor(judgments: int) -> dict[str, Any]:
    setup()
    import pyarrow as pa
    import pyarrow.parquet as pq
    from django.conf import settings

    from rlhf.freezing.rows import messages_array

    start, total = time.perf_counter(), 0
    schema = pa.schema([(name, messages_array([[]]).type) for name in ("prompt", "chosen", "rejected")])
    with pq.ParquetWriter(Path(settings.PLUMBLINE_HOME) / "floor.parquet", schema, compression="zstd") as writer:
        for batch in pairs(5000):
            answers = [[[{"role": "assistant", "content": row[side]}] for row in batch] for side in (1, 2)]
            columns = [messages_array(column) for column in ([row[0] for row in batch], *answers)]
            writer.write_table(pa.table(columns, schema=schema))
            total += len(batch)
    seconds = time.perf_counter() - start
    return {"floor_s": round(seconds, 2), "floor_pairs": total, "floor_pairs_per_s": round(total / seconds)}


def pairs(size: int) -> Iterator[list[Any]]:
    from feedback.models import Preference

    rows = Preference.objects.values_list("item__prompt__messages", "a__content", "b__content")
    batch: list[Any] = []
    for row in rows.iterator(chunk_size=size):
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def setup() -> None:
    import django

    django.setup()


STEPS = {"fill": fill, "build": build, "floor": floor}
COLUMNS = (
    "database",
    "judgments",
    "settle_s",
    "build_s",
    "total_s",
    "rows",
    "rows_per_s",
    "peak_gb",
    "floor_pairs_per_s",
)


def show(curve: list[dict[str, Any]]) -> None:
    print_table(COLUMNS, [[line[name] for name in COLUMNS] for line in curve])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
