"""What a claim costs in the database: its statement and its plan, and a whole claim with its judgment.

    python -m bench._claims SLUG NAME      one line of JSON on standard output
"""

from __future__ import annotations

import json
import os
import sys
import time
from statistics import median
from typing import Any

ROUNDS = 50


def main(slug: str, name: str) -> dict[str, Any]:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.db import connection

    from feedback import assigning, judging
    from feedback.models import Queue, User

    queue, person = Queue.objects.get(slug=slug), User.objects.get(username=name)
    claims = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        lease = assigning.claim(queue=queue, annotator=person)
        claims.append(time.perf_counter() - start)
        assert lease is not None
        judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": "A"})
    sql = assigning.FREE_SEAT.format(
        whose="s.reserved_for_id IS NULL", seen=assigning.SEEN, languages="%s", skills="%s", lock=""
    )
    values = [queue.pk, person.pk, person.pk, "", ""]
    times = []
    with connection.cursor() as cursor:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            cursor.execute(sql, values)
            cursor.fetchall()
            times.append(time.perf_counter() - start)
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {sql}", values)
        plan = [str(row[-1]) for row in cursor.fetchall()]
    return {"statement_ms": ms(times), "claim_ms": ms(claims), "plan": plan}


def ms(times: list[float]) -> float:
    return round(1000 * median(times), 2)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
