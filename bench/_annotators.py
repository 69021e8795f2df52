"""Annotators over HTTP, as many at once as wanted: each claims and judges until nothing is left."""

from __future__ import annotations

import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench._site import Site

CHOICES = ("A", "B", "tie", "both_bad")


@dataclass
class Tally:
    """What the annotators saw. `sent` counts judgments accepted; times are in milliseconds."""

    judgments: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    claim_ms: list[float] = field(default_factory=list)
    judge_ms: list[float] = field(default_factory=list)
    repeats: int = 0
    seconds: float = 0.0
    server_cpu_seconds: float = 0.0

    def add(self, other: Tally) -> None:
        self.judgments += other.judgments
        self.errors += other.errors
        self.claim_ms += other.claim_ms
        self.judge_ms += other.judge_ms
        self.repeats += other.repeats


def fill(site: Site, *, slug: str, items: int, overlap: int, annotators: list[str]) -> None:
    """A queue of `items` pairs, made through the API by an admin named `ada`."""
    with site.client("ada") as ada:
        prompts = _post(ada, "/prompts/", [
            {"messages": [{"role": "user", "content": f"{slug}: what about number {n}?"}], "split": "train"}
            for n in range(items)
        ])["ids"]  # fmt: skip
        _post(ada, "/policies/", {"slug": "base", "kind": "external"})
        answers = []
        for draw in (0, 1):
            rows = [
                {"prompt": p, "policy": "base", "draw": draw, "content": f"Answer {draw} to {p[:9]}, " + "word " * 60}
                for p in prompts
            ]
            answers.append(_post(ada, "/responses/", rows)["ids"])
        _post(ada, "/queues/", {"slug": slug, "title": slug, "overlap": overlap, "status": "open"})
        for name in annotators:
            _post(ada, f"/queues/{slug}/members/", {"username": name})
        rows = [{"prompt": p, "responses": list(pair)} for p, *pair in zip(prompts, *answers, strict=True)]
        _post(ada, f"/queues/{slug}/items/", rows)


def _post(client: httpx.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


def work(site: Site, *, slug: str, annotators: list[str], repeat: float = 0.0) -> Tally:
    """All annotators at once, flat out. A share `repeat` of the judgments is sent twice with the same key."""
    total = Tally()
    start, used = time.perf_counter(), site.cpu_seconds()
    with ThreadPoolExecutor(len(annotators)) as pool:
        for tally in pool.map(lambda name: _one(site, slug, name, repeat), annotators):
            total.add(tally)
    total.seconds = time.perf_counter() - start
    total.server_cpu_seconds = site.cpu_seconds() - used
    return total


def _one(site: Site, slug: str, name: str, repeat: float) -> Tally:
    tally, rng = Tally(), random.Random(name)
    with site.client(name) as client:
        lease = _claim(client, slug, tally)
        while lease is not None:
            lease = _judge(client, lease, rng, repeat, tally) or _claim(client, slug, tally)
    return tally


def _claim(client: httpx.Client, slug: str, tally: Tally) -> Any:
    start = time.perf_counter()
    answer = client.post(f"/queues/{slug}/claim/", json={})
    tally.claim_ms.append(1000 * (time.perf_counter() - start))
    if answer.status_code not in (200, 204):
        tally.errors.append(f"claim {answer.status_code}: {answer.text[:300]}")
    return answer.json() if answer.status_code == 200 else None


def _judge(client: httpx.Client, lease: Any, rng: random.Random, repeat: float, tally: Tally) -> Any:
    url, body = f"/assignments/{lease['assignment']}/judgment/", {"choice": rng.choice(CHOICES)}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    start = time.perf_counter()
    answer = client.post(url, json=body, headers=headers)
    tally.judge_ms.append(1000 * (time.perf_counter() - start))
    if answer.status_code != 201:
        tally.errors.append(f"judgment {answer.status_code}: {answer.text[:300]}")
        return None
    tally.judgments.append(answer.json()["judgment"])
    if rng.random() < repeat:
        again = client.post(url, json=body, headers=headers)
        tally.repeats += 1
        if again.status_code != 201 or again.json() != answer.json():
            tally.errors.append(f"repeat {again.status_code}: {again.text[:300]}")
        answer = again
    return answer.json()["next"]
