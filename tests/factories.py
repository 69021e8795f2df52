"""Small people and things for tests: each factory gives a valid row, every argument may be named."""

from __future__ import annotations

import itertools
from typing import Any

from feedback import intake, interactions, pairing
from feedback.models import Interaction, Item, Membership, Policy, Prompt, Queue, Response, User

_n = itertools.count(1)


def make_user(username: str = "", *, role: str = "annotator", password: str = "secret-word-9") -> User:
    return User.objects.create_user(username or f"person{next(_n)}", password=password, role=role)


def make_prompt(text: str = "", *, split: str = "train", **fields: Any) -> Prompt:
    row = {
        "messages": [{"role": "user", "content": text or f"Say something about number {next(_n)}."}],
        **fields,
    }
    done = intake.add_prompts(rows=[{**row, "split": split}])
    return Prompt.objects.get(key=done.ids[0])


def make_policy(slug: str = "", **fields: Any) -> Policy:
    policy, _ = intake.add_policy(slug=slug or f"policy-{next(_n)}", **{"kind": "external", **fields})
    return policy


def make_response(
    prompt: Prompt | None = None, content: str = "", *, policy: Policy | None = None, draw: int = 0
) -> Response:
    prompt, policy = prompt or make_prompt(), policy or make_policy()
    row = {
        "prompt": prompt.key,
        "policy": policy.slug,
        "content": content or f"Answer {next(_n)}.",
        "draw": draw,
    }
    return Response.objects.get(key=intake.add_responses(rows=[row]).ids[0])


def make_queue(slug: str = "", *, status: str = "open", members: tuple[User, ...] = (), **fields: Any) -> Queue:
    slug = slug or f"queue-{next(_n)}"
    queue = Queue.objects.create(slug=slug, title=slug.title(), status=status, **fields)
    for user in members:
        make_member(queue, user)
    return queue


def make_member(queue: Queue, user: User, *, role: str = "annotator", kind: str = "human") -> Membership:
    return Membership.objects.create(queue=queue, user=user, role=role, kind=kind)


def make_item(queue: Queue, *, texts: tuple[str, ...] = (), prompt: Prompt | None = None, **draft: Any) -> Item:
    split = "gate" if queue.purpose == "gate" else "train"
    prompt = prompt or make_prompt(split=split)
    policy = make_policy()
    n = next(_n)
    responses = [
        make_response(prompt, t, policy=policy, draw=i) for i, t in enumerate(texts or (f"One {n}.", f"Two {n}."))
    ]
    items, _ = pairing.add_items(queue=queue, drafts=[pairing.Draft(prompt, responses, **draft)])
    return items[0]


def make_interaction(content: str = "", **row: Any) -> Interaction:
    messages = [{"role": "user", "content": f"Tell me about number {next(_n)}."}]
    return interactions.log(rows=[{"messages": messages, "content": content or "It is a number.", **row}])[0]
