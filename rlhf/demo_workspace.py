"""The demo workspace: two small worlds in which the whole circle can be seen to turn.

`demo` asks people about answers of a 135M model to everyday tasks; `quick` does the same with a tiny model
that is trained on the spot, so that a round takes minutes. Everything here goes through the ordinary verbs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from feedback import accounts, intake, pairing
from feedback.errors import BadInput
from feedback.models import Item, Membership, Policy, Prompt, Queue, Response, User
from feedback.stats.sequential import Rule

from . import deployments, loops, proposals, runs, sampling, selection
from .bases import STARTER, TINY
from .models import Loop
from .tiny_corpus import tiny_prompts

CHUNK = 1000
PEOPLE = {"ann": "annotator", "eve": "engineer", "ada": "admin"}
TINY_DPO = {"lr": 2e-3, "beta": 0.03, "batch_size": 8, "max_steps": 160}  # at the usual settings it hardly moves
TINY_SPLITS = (("train", 300), ("dev", 40), ("gate", 200))

CONCISE = "Answer in as few words as the task allows. No preamble. Do exactly what is asked, then stop."
CONTRAST_VOTES = 60

DEMO_GUIDELINES = """\
You compare two answers that a **very small language model** gave to the same request. It has 135 million
parameters, hundreds of times fewer than the assistants you may know, and it makes mistakes all the time.
Its mistakes are the exercise: choose the answer that you would rather have received.

### What counts, in this order
1. **It does what was asked.** Two sentences means two sentences; a polite rewrite says the same thing, politely.
2. **It is finished.** An answer that stops in the middle of a sentence has failed, however well it began.
3. **It is clear and to the point.** No loops, no preamble, nothing that was not asked for.
4. **It is true**, as far as you can tell without looking anything up.

### When it is hard
- *About the same*: say **tie**. A tie is an answer too; please do not toss a coin.
- *Neither is of any use*: say **both bad**, even if one is slightly less so.
- *Longer is not better.* If you like the longer one, ask yourself what its extra words are for.
- *You cannot judge it*: **skip**. Nobody counts that against you.

Ten seconds are usually enough. You do not see who wrote an answer, and the sides are shuffled.
"""

QUICK_GUIDELINES = """\
Two answers by a **toy model** of two million parameters that knows greetings, thanks, invitations, short lists
and short reasons, and nothing else.

Prefer the answer that **does what was asked, politely, once**: no filler, no repetition, no rudeness.
About the same: **tie**. Both useless: **both bad**.
"""


@dataclass
class Report:
    """What seeding did. `sign_ins`: (name, role, password), told once; `note`: why nothing was done, or what lacks."""

    seeded: bool = False
    sign_ins: list[tuple[str, str, str]] = field(default_factory=list)
    prompts: int = 0
    responses: int = 0
    items: int = 0
    note: str = ""


def seed() -> Report:
    """Fill an empty database with the demo, in one transaction; a second call changes nothing.

    Where there is other work already, nothing is written and the note says so.
    """
    if Loop.objects.filter(slug="demo", demo=True).exists():
        return Report(note="already seeded; the passwords were shown the first time", items=fill_quick())
    if Prompt.objects.exists() or Queue.objects.exists() or Policy.objects.exists():
        return Report(note="this database holds other work; the demo goes into an empty one only")
    with transaction.atomic():
        report = Report(seeded=True)
        people = _people(report)
        _seed_quick(report, people)
        _seed_demo(report, people)
    return report


def _people(report: Report) -> dict[str, User]:
    people = {}
    for name, role in PEOPLE.items():
        user = User.objects.filter(username=name).first()
        if user is None:
            user, password = accounts.create_user(username=name, role=role)
            report.sign_ins.append((name, role, password))
        people[name] = user
    return people


def _seed_demo(report: Report, people: dict[str, User]) -> None:
    runs.start(kind="convert", base=STARTER, seed=1, actor=people["eve"])
    decoding = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 96}
    policy, _ = intake.add_policy(
        slug="smollm2-135m", kind="local", base=STARTER, decoding=decoding, note="the starter model, as published"
    )
    keys = _add_prompts(report, list(_demo_prompts()))
    _add_answers(report, policy, keys)
    queue = _queue("demo", "Everyday tasks, a very small model", DEMO_GUIDELINES, people["ann"])
    report.items += fill(queue=queue, policy=policy, workspace="demo")
    loops.create(
        slug="demo", title="Everyday tasks with a 135M model", queue=queue, policy=policy, alias="production",
        config={"every": 60, "train_prompts": 160, "ask": 80},
        prompt_filter={"metadata__workspace": "demo"}, demo=True, actor=people["eve"],
    )  # fmt: skip
    _race_prompts(policy, queue, people)


def _race_prompts(plain: Policy, queue: Queue, people: dict[str, User]) -> None:
    """A quick contrast without any training: the same weights with a concise system prompt, put to the vote.

    It has an alias of its own, so that the loop's `production` stays the loop's.
    """
    concise, _ = intake.add_policy(
        slug="smollm2-135m-concise", kind="local", base=plain.base, parent=plain, system_prompt=CONCISE,
        decoding=plain.decoding, note="the starter model under a concise system prompt",
    )  # fmt: skip
    deployments.promote(policy=plain, alias="contrast", actor=people["eve"], reason="start of the contrast")
    proposals.propose(
        candidate=concise, label_queue=queue, alias="contrast", rule=Rule(limit=CONTRAST_VOTES),
        prompt_filter={"metadata__workspace": "demo"}, seed=1, actor=people["eve"],
    )  # fmt: skip


def _seed_quick(report: Report, people: dict[str, User]) -> None:
    runs.start(kind="pretrain", base=TINY, seed=1, actor=people["eve"])
    decoding = {"temperature": 0.9, "top_p": 1.0, "max_new_tokens": 32}
    policy, _ = intake.add_policy(
        slug="tiny", kind="local", base=TINY, decoding=decoding, note="a toy of two million parameters"
    )
    _add_prompts(report, list(_quick_prompts()))
    queue = _queue("quick", "Greetings and lists, a toy model", QUICK_GUIDELINES, people["ann"])
    loop = loops.create(
        slug="quick", title="A round in minutes with a toy model", queue=queue, policy=policy, alias="quick",
        config={"every": 120, "train_prompts": 300, "ask": 140, "dpo": TINY_DPO},
        prompt_filter={"metadata__workspace": "quick"}, demo=True, actor=people["eve"],
    )  # fmt: skip
    draws = range(loop.config["draws"])
    sampling.sample(policy=policy, prompts=loops.train_prompts(loop), draws=draws, seed=1, actor=people["eve"])


def _queue(slug: str, title: str, guidelines: str, annotator: User) -> Queue:
    queue = Queue.objects.create(
        slug=slug, title=title, kind="comparison", guidelines=guidelines, demo=True, status="open",
        overlap=1, selection="sea", control_rate=0.25,
    )  # fmt: skip
    Membership.objects.create(queue=queue, user=annotator)
    return queue


def _demo_prompts() -> Iterator[dict[str, Any]]:
    for row in _lines("prompts.jsonl"):
        yield {
            "messages": [{"role": "user", "content": row["prompt"]}],
            "external_id": row["external_id"],
            "split": row["split"],
            "metadata": {"workspace": "demo", "task": row["task"]},
        }


def _quick_prompts() -> Iterator[dict[str, Any]]:
    splits = [split for split, count in TINY_SPLITS for _ in range(count)]
    for split, text in zip(splits, tiny_prompts(len(splits), seed=1), strict=True):
        messages = [{"role": "user", "content": text}]
        yield {"messages": messages, "split": split, "metadata": {"workspace": "quick"}}


def _lines(name: str) -> Iterator[dict[str, Any]]:
    path = Path(settings.BASE_DIR) / "demo" / name
    if not path.exists():
        return
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise BadInput(f"demo/{name}, line {number}: {error}", where=name) from error


def _add_prompts(report: Report, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Prompt keys by external id."""
    keys: dict[str, str] = {}
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        done = intake.add_prompts(rows=chunk)
        report.prompts += done.created
        keys |= {row.get("external_id", ""): key for row, key in zip(chunk, done.ids, strict=True)}
    return keys


def _add_answers(report: Report, policy: Policy, keys: dict[str, str]) -> None:
    rows = [{**row, "prompt": keys[row["prompt"]], "policy": policy.slug} for row in _lines("responses.jsonl")]
    if not rows:
        report.note = (
            f"demo/responses.jsonl is missing, so there is nothing to compare yet: "
            f"bin/manage sample --policy {policy.slug} --workspace demo --prompts 265 --draws 4 --queue demo makes it"
        )
    for start in range(0, len(rows), CHUNK):
        report.responses += intake.add_responses(rows=rows[start : start + CHUNK], allow_empty=True).created


def fill(*, queue: Queue, policy: Policy, workspace: str, actor: User | None = None) -> int:
    """One random pair (control arm) for each train prompt that was never asked here; returns how many are new.

    Only answers that differ visibly; prompts whose answers are all alike are left out.
    """
    asked = Item.objects.filter(queue=queue).values("prompt")
    fresh = Prompt.objects.filter(split="train", metadata__workspace=workspace).exclude(pk__in=asked)
    answers = Response.objects.filter(policy=policy, prompt__in=fresh).select_related("prompt")
    drafts = []
    for pool in selection.by_prompt(answers).values():
        prompt = pool[0].prompt
        drafts.append(pairing.Draft(prompt, random.Random(prompt.key).sample(pool, 2), arm="control"))
    return pairing.add_items(queue=queue, drafts=drafts, actor=actor)[1] if drafts else 0


def fill_quick() -> int:
    """The toy model's first pairs, once it exists and has answered; 0 until then and ever after."""
    queue, policy = Queue.objects.filter(slug="quick").first(), Policy.objects.filter(slug="tiny").first()
    if queue is None or policy is None:
        return 0
    return fill(queue=queue, policy=policy, workspace="quick")
