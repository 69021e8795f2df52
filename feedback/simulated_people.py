"""Simulated people: HTTP clients that label by a hidden reward, with noise, a side habit and a pace.

They see what the API shows an annotator and nothing else, so a run of them tests the whole way from the
claim to the vote. Memberships of kind `simulated` mark all they say. No Django here.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from .hidden_rewards import REWARDS, simulated_vote

PATIENCE = 120.0  # seconds of an unreachable server before somebody gives up
TIMEOUT = 30.0
LONGEST_PAUSE = 5.0


class GaveUp(Exception):
    """The server refused, or could not be reached for too long; the message says which."""


@dataclass(frozen=True)
class Habits:
    """How simulated people vote. `reward` names their hidden reward, `noise` is the share of votes turned round.

    Each person's habit is drawn with standard deviation `side` (log odds for the left answer);
    `pace` is the mean time to think, in seconds.
    """

    reward: str
    noise: float = 0.1
    side: float = 0.2
    pace: float = 0.0
    seed: int = 0


@dataclass
class Work:
    """What was done: judgments by person and by choice, submissions refused, requests sent again."""

    by_person: Counter[str] = field(default_factory=Counter)
    choices: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    resent: int = 0
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def judgments(self) -> int:
        return self.by_person.total()

    def count(self, person: str, choice: str) -> None:
        with self.lock:
            self.by_person[person] += 1
            self.choices[choice] += 1


class Budget:
    """How many judgments are still to be made, shared by all threads. None is without end."""

    def __init__(self, judgments: int | None) -> None:
        self._left = judgments
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            return self._left >= 0

    @property
    def left(self) -> bool:
        with self._lock:
            return self._left is None or self._left > 0

    def give_back(self) -> None:
        with self._lock:
            if self._left is not None:
                self._left = max(self._left, 0) + 1


class Person:
    """One annotator with a token. Sends again what a restarting server lost, under the same idempotency key."""

    def __init__(self, name: str, token: str, url: str, habits: Habits, work: Work) -> None:
        self.name, self.habits, self.work = name, habits, work
        self.left_bias = float(self._rng("habit").normal(0.0, habits.side))
        self.http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
        )

    def claim(self, queue: str) -> dict[str, Any] | None:
        """The next lease, or None when nothing is left or the queue is not open."""
        answer = self._post(f"queues/{queue}/claim/", {}, refusals=(409,))
        return answer.json() if answer.status_code == 200 else None

    def judge(self, lease: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
        """Vote on a lease: whether the vote was taken, and the next lease."""
        choice, thought = self.choose(lease["item"]), self._think(lease["item"])
        body = {"choice": choice, "duration_ms": int(1000 * thought)}
        answer = self._post(
            f"assignments/{lease['assignment']}/judgment/", body, key=str(uuid.uuid4()), refusals=(409,)
        )
        if answer.status_code == 409:  # the lease ran out, or somebody was faster
            with self.work.lock:
                self.work.refused += 1
            return False, None
        self.work.count(self.name, choice)
        return True, answer.json()["next"]

    def choose(self, item: dict[str, Any]) -> str:
        """What this person says about the blind view of an item: A, B, tie or both_bad."""
        prompt = item["prompt"]["messages"][-1]["content"]
        reward = REWARDS[self.habits.reward]
        a, b = (reward(prompt, response["content"]) for response in item["responses"])
        rng = self._rng("vote", item["id"])
        return simulated_vote(rng, a, b, noise=self.habits.noise, left_bias=self.left_bias)

    def _think(self, item: dict[str, Any]) -> float:
        seconds = (
            float(self._rng("pace", item["id"]).exponential(self.habits.pace)) if self.habits.pace else 0.0
        )
        time.sleep(seconds)
        return seconds

    def _rng(self, *what: str) -> np.random.Generator:
        """Chance that depends on seed, person and item alone, not on who came first."""
        digest = hashlib.sha256("|".join([str(self.habits.seed), self.name, *what]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def _post(
        self, path: str, body: dict[str, Any], *, key: str = "", refusals: tuple[int, ...] = ()
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        started, pause = time.monotonic(), 0.1
        while True:
            problem = ""
            try:
                answer = self.http.post(path, json=body, headers=headers)
            except httpx.TransportError as error:
                problem = f"{self.http.base_url} cannot be reached ({type(error).__name__})"
            else:
                if answer.is_success or answer.status_code in refusals:
                    return answer
                problem = f"{path}: {answer.status_code} {answer.text[:200]}"
                if answer.status_code < 500 and answer.status_code != 429:
                    raise GaveUp(problem)
            if time.monotonic() - started > PATIENCE:
                raise GaveUp(problem)
            with self.work.lock:
                self.work.resent += 1
            time.sleep(pause * (0.5 + random.random()))  # so that not all come back at once
            pause = min(2 * pause, LONGEST_PAUSE)


def work(
    *,
    url: str,
    tokens: Mapping[str, str],
    queue: str,
    habits: Habits,
    judgments: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Work:
    """Label `queue` at `url` until `judgments` are made or nothing is left, everybody (name -> token) in a thread.

    Raises GaveUp for a refused token, a queue that is not theirs, or a server gone for two minutes.
    """
    if habits.reward not in REWARDS:
        raise GaveUp(f"there is no hidden reward {habits.reward!r}; there are: {', '.join(REWARDS)}")
    done, budget, started = Work(), Budget(judgments), time.monotonic()
    before = -1
    while done.judgments > before and budget.left:
        # Another turn, since somebody may have found nothing while others sat on leases they had no use for.
        before = done.judgments
        _all_at_once(
            [Person(name, token, url, habits, done) for name, token in tokens.items()],
            queue,
            budget,
            progress,
        )
    done.seconds = time.monotonic() - started
    return done


def _all_at_once(people: list[Person], queue: str, budget: Budget, progress: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(max_workers=max(1, len(people))) as pool:
        futures = [pool.submit(_labour, person, queue, budget, progress) for person in people]
    for future in futures:
        future.result()  # what went wrong in a thread is told here


def _labour(person: Person, queue: str, budget: Budget, progress: Callable[[int], None]) -> None:
    lease: dict[str, Any] | None = None
    with person.http:
        while budget.left:
            lease = lease or person.claim(queue)  # first: who has nothing to judge must not hold the budget
            if lease is None or not budget.take():
                return
            taken, lease = person.judge(lease)
            if taken:
                progress(person.work.judgments)
            else:
                budget.give_back()
