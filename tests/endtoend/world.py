"""A small world to kill: a tiny model, a queue that somebody labels, a DPO run, and what must hold afterwards."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import httpx

from tests.endtoend.site import Site

STEPS = 240

WORLD = """
from feedback import intake, pairing
from feedback.models import Membership, Policy, Prompt, Queue, Response, User
from api import tokens
from rlhf import runs
from rlhf.tiny_corpus import tiny_prompts
import random
texts = tiny_prompts(300, seed=3)
keys = intake.add_prompts(rows=[{"messages": [{"role": "user", "content": t}], "split": "train"} for t in texts]).ids
intake.add_policy(slug="outside", kind="external")
rows = [{"prompt": k, "policy": "outside", "draw": d, "content": c}
        for k in keys for d, c in enumerate(("Hello, how are you today?", "Go away."))]
intake.add_responses(rows=rows)
ann = User.objects.create_user("ann", password="x")
queue = Queue.objects.create(slug="q", title="Q", status="open")
Membership.objects.create(queue=queue, user=ann)
prompts = {p.key: p for p in Prompt.objects.all()}
answers = {k: list(Response.objects.filter(prompt__key=k).order_by("draw")) for k in keys}
pairing.add_items(queue=queue, drafts=[pairing.Draft(prompts[k], answers[k]) for k in keys])
run = runs.start(kind="pretrain", base="tiny", config={"steps": 60}, seed=1)
_, secret = tokens.create(user=ann, name="test")
answer = {"token": secret, "run": str(run.pk)}
"""
TRAIN = f"""
from feedback.models import Policy, Prompt
from feedback import intake
from rlhf import runs
policy, _ = intake.add_policy(slug="tiny", kind="local", base="tiny")
pairs = [{{"chosen": p.responses.get(draw=0).key, "rejected": p.responses.get(draw=1).key, "target": 1.0}}
         for p in Prompt.objects.all()[:100]]
run = runs.start(kind="dpo", policy=policy, inputs={{"pairs": pairs, "slug": "trained"}},
                 config={{"max_steps": {STEPS}, "save_steps": 10, "lr": 1e-5}})
answer = str(run.pk)
"""
STATE = """
from rlhf.models import Run
r = Run.objects.get(pk={run!r})
answer = [r.status, r.step, r.attempt, r.note]
"""
FACTS = """
from feedback.models import Assignment, Event, Judgment, Policy, Seat
from django.db.models import Count
from rlhf.models import Run, RunMetric
r = Run.objects.get(pk={run!r})
answer = {{
    "policies": Policy.objects.filter(slug="trained").count(),
    "finished": Event.objects.filter(verb="run.finished", object_id={run!r}).count(),
    "steps": sorted(RunMetric.objects.filter(run=r, name="loss").values_list("step", flat=True)),
    "judgments": [str(pk) for pk in Judgment.objects.values_list("pk", flat=True)],
    "twice": Judgment.objects.values("assignment").annotate(n=Count("pk")).filter(n__gt=1).count(),
    "over": Assignment.objects.filter(status__in=("leased", "judged")).values("seat").annotate(n=Count("pk"))
        .filter(n__gt=1).count(),
}}
"""


class Labeller(threading.Thread):
    """Somebody who labels through it all; `stored` holds what the server confirmed."""

    def __init__(self, site: Site, token: str) -> None:
        super().__init__(daemon=True)
        self.site, self.done = site, threading.Event()
        self.headers = {"Authorization": f"Bearer {token}"}
        self.stored: list[str] = []

    def run(self) -> None:
        while not self.done.is_set():
            lease = self.post("queues/q/claim/", {}, "")
            if lease and self.done.wait(0.3) is False:
                said = self.post(f"assignments/{lease['assignment']}/judgment/", {"choice": "A"}, str(uuid.uuid4()))
                if said:
                    self.stored.append(said["judgment"])

    def finish(self) -> None:
        self.done.set()
        self.join(timeout=20)

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any] | None:
        """Sent again, under the same key, until the server answers."""
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        while not self.done.is_set():
            try:
                answer = httpx.post(f"{self.site.url}/api/v1/{path}", json=body, headers=headers, timeout=10)
            except httpx.TransportError:
                time.sleep(0.3)
                continue
            assert answer.status_code < 500, answer.text[:500]
            return answer.json() if answer.status_code in (200, 201) else None
        return None


def state(site: Site, run: str) -> list[Any]:
    """[status, step, attempt, note] of a run."""
    return site.ask(STATE.format(run=run))


def check(site: Site, run: str, confirmed: list[str]) -> None:
    """The run finished once, every step counted once; no confirmed judgment lost, none twice, no seat shared."""
    facts = site.ask(FACTS.format(run=run))
    assert (facts["policies"], facts["finished"]) == (1, 1), facts
    assert facts["steps"] == list(range(1, STEPS + 1))
    assert set(confirmed) <= set(facts["judgments"])
    assert (facts["twice"], facts["over"]) == (0, 0), facts
