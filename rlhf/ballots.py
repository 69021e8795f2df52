"""One series of blind votes: drawing it up, and reading it in the drawn order.

A vote is read only when every item drawn before it has been: an open item stops the reading, so that quick
judgments cannot run ahead of slow ones. Ties and "both bad" count one half, and so does what never became a
vote: the same text twice, an item skipped, a lease that ran out while somebody had the item before them, a
vote taken back for good. Dropping those, or asking somebody else, would let the outcome choose who answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from feedback import aggregation, events, pairing
from feedback.errors import Conflict, StaleTransition
from feedback.lifecycle import advance
from feedback.models import Assignment, Item, Judgment, Membership, Policy, Prompt, Queue, Response

from .models import Decision

GUIDELINES = "Two answers to the same prompt. Choose the one you would rather receive; a tie is a fair answer."
Pair = tuple[Prompt, Response, Response]
Entry = dict[str, Any]  # {"prompt", "candidate", "live", "item"}: keys; item None where both answers are the same
Vote = dict[str, Any]  # {"prompt", "x", "why", "judgment"}


@dataclass(frozen=True)
class Ballot:
    """The candidate against one opponent: `queue` holds its items, `entries` the drawn order."""

    opponent: Policy
    queue: Queue
    entries: list[Entry]


def main(decision: Decision) -> Ballot:
    return Ballot(decision.live, decision.queue, decision.entries)


def against_anchor(decision: Decision) -> Ballot | None:
    if decision.anchor is None or decision.anchor_queue is None:
        return None
    return Ballot(decision.anchor, decision.anchor_queue, decision.anchor_entries)


def new_queue(label_queue: Queue, *, status: str) -> Queue:
    """A queue with the voters of `label_queue`. Its slug must tell an annotator nothing: a number, no policy's name.

    One skip makes an item unusable and half a vote.
    """
    number = Queue.objects.filter(purpose="gate").count() + 1
    queue = Queue.objects.create(
        slug=f"vote-{number}", title=f"Blind vote {number}", purpose="gate", kind="comparison", overlap=1,
        guidelines=label_queue.guidelines or GUIDELINES, lease_seconds=label_queue.lease_seconds, status=status,
        demo=label_queue.demo, max_skips=1,
    )  # fmt: skip
    kinds = ("human", "simulated") if label_queue.demo else ("human",)
    voters = label_queue.memberships.filter(kind__in=kinds)
    Membership.objects.bulk_create([Membership(queue=queue, user=m.user, role=m.role, kind=m.kind) for m in voters])
    return queue


def pairs(candidate: Policy, opponent: Policy, prompts: Sequence[Prompt], draw: int = 0) -> list[Pair]:
    """(prompt, candidate's answer, opponent's answer) in the given order; Conflict where some are not there yet."""
    new, old = answers(candidate, prompts, draw), answers(opponent, prompts, draw)
    lacking = [p for p in prompts if p.pk not in new or p.pk not in old]
    if lacking:
        raise Conflict(f"{len(lacking)} of {len(prompts)} gate prompts are not answered by both policies yet.")
    return [(p, new[p.pk], old[p.pk]) for p in prompts]


def answers(policy: Policy, prompts: Sequence[Prompt], draw: int = 0) -> dict[int, Response]:
    """Prompt's primary key -> this policy's answer (of several with the same draw the one with the least key)."""
    rows = Response.objects.filter(policy=policy, prompt__in=prompts, draw=draw).order_by("-key")
    return {r.prompt_id: r for r in rows}


def fill(queue: Queue, drawn: list[Pair]) -> list[Entry]:
    """Items in the drawn order, and the entries; prompts with the same answer twice get no item."""
    different = [(p, c, o) for p, c, o in drawn if c.content.strip() != o.content.strip()]
    drafts = [pairing.Draft(p, [c, o], arm="control") for p, c, o in different]
    items, _ = pairing.add_items(queue=queue, drafts=drafts)
    keys = {p.key: str(item.key) for (p, _, _), item in zip(different, items, strict=True)}
    return [{"prompt": p.key, "candidate": c.key, "live": o.key, "item": keys.get(p.key)} for p, c, o in drawn]


def give_up(ballot: Ballot) -> int:
    """Items whose lease ran out while they were shown become unusable, half a vote; returns how many.

    Handing them to the next person would be fair only if slow readers voted like quick ones.
    """
    shown = Assignment.objects.filter(queue=ballot.queue, status="expired", shown_at__isnull=False)
    left = Item.objects.filter(queue=ballot.queue, status="open", assignments__in=shown, seats__status="free")
    moved = 0
    for item in left.distinct():
        try:
            advance(item, "unusable", settled_at=timezone.now())
        except StaleTransition:
            continue
        events.record("item.unusable", item, after={"reason": "a lease ran out while the item was shown"})
        moved += 1
    return moved


def votes(ballot: Ballot) -> list[Vote]:
    """Votes in drawn order up to the first item still open."""
    rows = Item.objects.filter(queue=ballot.queue).values_list("key", "pk", "status")
    items = {str(key): (pk, status) for key, pk, status in rows}
    judged, halves = _judgments(ballot.queue), _halves(ballot.queue)
    read: list[Vote] = []
    for entry in ballot.entries:
        item, status = items.get(entry["item"] or "", (0, ""))
        judgment = None
        if not item:
            x, why = 0.5, "same answer"
        elif status == "unusable":  # first: a late answer must not change a vote that was read
            x, why = 0.5, "unusable"
        elif item in halves and (item not in judged or halves[item] == "expired"):
            x, why = 0.5, halves[item]
        elif item in judged:
            x, why = value(judged[item])
            judgment = str(judged[item].pk)
        else:
            break
        read.append({"prompt": entry["prompt"], "x": x, "why": why, "judgment": judgment})
    return read


def _judgments(queue: Queue) -> dict[int, Judgment]:
    rows = Judgment.objects.filter(aggregation.standing(), queue=queue).order_by("pk").only("item_id", "answer")
    return {j.item_id: j for j in rows}


def _halves(queue: Queue) -> dict[int, str]:
    """Items that are half a vote, and why: a lease ran out while they were shown, or the vote was withdrawn.

    Withdrawn for good, that is: after an undo the assignment is leased again, and the item waits.
    """
    withdrawn = Judgment.objects.filter(queue=queue, withdrawn_at__isnull=False, assignment__status="judged")
    expired = Assignment.objects.filter(queue=queue, status="expired", shown_at__isnull=False)
    halves = dict.fromkeys(withdrawn.values_list("item_id", flat=True), "withdrawn")
    return halves | dict.fromkeys(expired.values_list("item_id", flat=True), "expired")


def value(judgment: Judgment) -> tuple[float, str]:
    """The candidate's answer stands at position 0 of the item; the side it was shown on was random."""
    choice = judgment.answer["choice"]
    if choice in ("tie", "both_bad"):
        return 0.5, choice
    return (1.0, "candidate") if choice == 0 else (0.0, "live")


def close(queue: Queue) -> None:
    if queue.status in ("open", "paused"):
        advance(queue, "closed")
