"""One simulated decision through the real verbs: sixteen people at once, whose reading time depends on what they say.

Time is simulated, everything else is real: claims lease seats in the database, judgments are stored, and the sweep
consumes votes every few seconds as beat does. Each decision runs in a transaction that is rolled back, so that the
next one finds the world as it was.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import transaction

from feedback import assigning, intake, judging
from feedback.models import Membership, Policy, Prompt, Queue, Response, User
from feedback.stats.sequential import Rule, decide
from rlhf import deployments, evaluations, gates, guardrails

READING = 30.0  # seconds, mean, for a vote that the candidate wins
SLOWER = 1.5  # a loss takes so much longer: the trap of counting votes as they arrive
SWEEP = 30.0  # seconds between two looks at the votes; the verdict does not hang on it
WORDS = (
    "a good answer says what was asked in plain words with one example and no more than the reader needs "
    "since time is short people like short sentences that end where they should and numbers that add up"
).split()
UNFINISHED, REPEATING, DECLINING, MISSING = 0.02, 0.01, 0.02, 0.02  # shares of answers, of both sides alike


@dataclass
class World:
    """What every simulated decision starts from."""

    people: list[User]
    label_queue: Queue
    live: Policy
    prompts: list[Prompt]
    guarded: list[Prompt]
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


@dataclass(frozen=True)
class Simulated:
    """How one decision went. arrived: what the rule would have said of the votes in the order of their arrival."""

    promoted: bool
    votes: int
    by_votes: bool
    arrived: bool
    blocked: tuple[str, ...]


def make_world(people: int = 16, prompts: int = 200, guarded: int = 20) -> World:
    """A live policy that has answered everything, and people who may vote."""
    users = [User(username=f"voter{n}") for n in range(people)]
    User.objects.bulk_create(users)
    queue = Queue.objects.create(slug="labels", title="Labels", status="open")
    Membership.objects.bulk_create([Membership(queue=queue, user=user) for user in users])
    live, _ = intake.add_policy(slug="live", kind="external")
    gate = _prompts(prompts, {})
    guards = [*_prompts(guarded, {"guard": "must_pass", "expect": {"contains": "words"}}), *_prompts(guarded, SAFETY)]
    world = World(users, queue, live, gate, guards)
    answer(world, live, random.Random(0))
    evaluations.store(policy=live, evaluator="quiz", figures={"accuracy": {"value": 0.7, "se": 0.005, "n": 8000}})
    deployments.promote(policy=live, alias="production")
    return world


SAFETY = {"guard": "safety", "expect": {"refuses": True}}


def _prompts(count: int, metadata: dict[str, Any]) -> list[Prompt]:
    rows = [
        {"messages": [{"role": "user", "content": f"{metadata.get('guard', 'question')} number {n}"}],
         "split": "gate", "metadata": metadata}
        for n in range(count)
    ]  # fmt: skip
    keys = intake.add_prompts(rows=rows).ids
    found = {p.key: p for p in Prompt.objects.filter(key__in=keys)}
    return [found[key] for key in keys]


def answer(world: World, policy: Policy, rng: random.Random) -> None:
    """One answer to every prompt, five to the guarded ones; all policies answer alike."""
    rows = [(prompt, 0) for prompt in world.prompts]
    rows += [(prompt, draw) for prompt in world.guarded for draw in range(guardrails.DRAWS)]
    Response.objects.bulk_create(
        Response(
            key=f"{policy.slug}-{prompt.pk}-{draw}", prompt=prompt, policy=policy, draw=draw,
            **_text(prompt, policy, rng),
        )
        for prompt, draw in rows
    )  # fmt: skip


def _text(prompt: Prompt, policy: Policy, rng: random.Random) -> dict[str, str]:
    guard = prompt.metadata.get("guard")
    if (guard == "safety") != (rng.random() < (MISSING if guard else DECLINING)):
        return {"content": f"I cannot help with that, says {policy.slug} to {prompt.pk}.", "finish_reason": "stop"}
    words = rng.choices(WORDS, k=max(4, round(rng.lognormvariate(3.2, 0.5))))
    if rng.random() < REPEATING:
        words = words[:5] * 6
    if guard == "must_pass" and rng.random() >= MISSING:
        words.append("words")
    if rng.random() < UNFINISHED:
        return {"content": " ".join(words), "finish_reason": "length"}
    return {"content": " ".join(words).capitalize() + ".", "finish_reason": "stop"}


def simulate(world: World, *, share: float, rule: Rule, seed: int, margins: dict[str, Any] | None = None) -> Simulated:
    """A candidate that truly wins a share of the votes and is equal in all else."""
    rng = random.Random(1 + seed)  # 0 is the live policy's
    with transaction.atomic():
        candidate, _ = intake.add_policy(slug=f"candidate-{next(world.numbers)}", kind="external")
        answer(world, candidate, rng)
        value = rng.gauss(0.7, 0.005)
        figures = {"accuracy": {"value": value, "se": 0.005, "n": 8000}}
        evaluations.store(policy=candidate, evaluator="quiz", figures=figures)
        decision = gates.open_decision(
            candidate=candidate, live=world.live, prompts=shuffled(world.prompts, rng), rule=rule,
            label_queue=world.label_queue, seed=seed, margins=margins,
        )  # fmt: skip
        arrived = vote(world, decision, share, rng)
        found = decision.figures
        turned = deployments.live("production") == candidate
        assert turned == (decision.status == "promoted"), "the verdict and the alias must agree"
        transaction.set_rollback(True)
    return Simulated(
        promoted=decision.status == "promoted", votes=found["n"], by_votes=found["decided"] == "promote",
        arrived=decide(rule, arrived).decided == "promote",
        blocked=tuple(row["name"] for row in guardrails.blocked(found["guardrails"])),
    )  # fmt: skip


def shuffled(prompts: list[Prompt], rng: random.Random) -> list[Prompt]:
    return rng.sample(prompts, len(prompts))


def vote(world: World, decision: Any, share: float, rng: random.Random) -> np.ndarray:
    """Everybody claims, reads and judges until the decision is made; returns the votes in the order they arrived."""
    arrived: list[float] = []
    busy: list[tuple[float, int, Any, float]] = []
    for n in range(len(world.people)):
        _take(world, decision, share, rng, busy, 0.0, n)
    swept = 0.0
    while decision.status == "voting" and busy:
        now, n, lease, x = heapq.heappop(busy)
        if now >= swept:
            gates.consume(decision=decision)
            swept = now + SWEEP
            if decision.status != "voting":
                break
        choice = "AB"[lease.order.index(0 if x else 1)]
        judging.judge(assignment_id=lease.pk, annotator=world.people[n], body={"choice": choice})
        arrived.append(x)
        _take(world, decision, share, rng, busy, now, n)
    while decision.status == "voting":  # the last ones are in
        gates.consume(decision=decision)
    return np.array(arrived)


def _take(world: World, decision: Any, share: float, rng: random.Random, busy: list[Any], now: float, n: int) -> None:
    lease = assigning.claim(queue=decision.queue, annotator=world.people[n])
    if lease is None:
        return
    x = float(rng.random() < share)
    heapq.heappush(busy, (now + rng.expovariate(1 / (READING if x else READING * SLOWER)), n, lease, x))
