"""How much better per human label: the numbers behind the figure of a loop.

x of a round: all judgments spent until it was decided, stacked: train (chosen by a rule, or imported), control (drawn
at random), gold, gate (the votes of decisions), measuring (monitoring, and the yardstick of `rlhf/yardstick.py`).
y: people's win rate of the round's candidate against the loop's first policy, with its confidence sequence. Where the
first policy was still live, the decision's own votes say it; else the yardstick's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Q

from feedback.models import Judgment, Prompt, Response
from feedback.stats.sequential import confidence_sequence

from . import yardstick
from .models import Loop, Round

KINDS = ("train", "control", "gold", "gate", "measuring")
LONGER = 1.15  # ratio of median lengths from which an answer counts as longer


@dataclass(frozen=True)
class Point:
    """One round. `spent`: judgments by kind, all rounds up to this one; low, high: 95% confidence sequence of y."""

    round: int
    spent: dict[str, int]
    labels: int
    status: str
    y: float | None
    low: float
    high: float
    votes: int
    measured_by: str
    predicted: float | None
    reason: str
    candidate: str
    decision: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def points(loop: Loop) -> list[Point]:
    """A point for every round that has been decided, oldest first."""
    rounds = loop.rounds.filter(decision__status__in=("promoted", "refused")).order_by("number")
    found, votes = [], dict.fromkeys(("gate", "measuring"), 0)
    for round_ in rounds.select_related("decision", "decision__candidate", "dataset"):
        votes["gate"] += _votes(round_)
        votes["measuring"] += _yardstick_votes(round_)
        found.append(_point(round_, _spent(round_, votes)))
    return found


def _spent(round_: Round, votes: dict[str, int]) -> dict[str, int]:
    """Labels until the round's dataset was frozen, and the votes of all rounds so far."""
    made = Judgment.objects.filter(queue=round_.loop.queue, supersedes__isnull=True)
    if round_.dataset is not None and round_.dataset.ready_at is not None:
        made = made.filter(created_at__lte=round_.dataset.ready_at)
    on_train = made.filter(item__gold__isnull=True, item__prompt__split="train")
    monitoring = on_train.filter(item__arm="rule").count()
    return {
        "train": on_train.exclude(item__arm__in=("control", "rule")).count(),
        "control": on_train.filter(item__arm="control").count(),
        "gold": made.filter(item__gold__isnull=False).count(),
        "gate": votes["gate"],
        "measuring": votes["measuring"] + monitoring,
    }


def _votes(round_: Round) -> int:
    """Judgments in the ballots of the round's decision, the anchor's included."""
    mine = Q(queue__decision=round_.decision) | Q(queue__anchor_decision=round_.decision)
    return Judgment.objects.filter(mine, supersedes__isnull=True).count()


def _yardstick_votes(round_: Round) -> int:
    keys = [entry["item"] for entry in round_.facts.get("yardstick", []) if entry["item"]]
    return Judgment.objects.filter(item__key__in=keys, supersedes__isnull=True).count()


def _point(round_: Round, spent: dict[str, int]) -> Point:
    decision = round_.decision
    assert decision is not None
    f, first = decision.figures, yardstick.first_policy(round_.loop)
    own = first is not None and decision.live_id == first.pk
    votes = [vote["x"] for vote in f.get("votes", [])] if own else yardstick.votes(round_)
    low, high = confidence_sequence(votes)
    return Point(
        round=round_.number, spent=spent, labels=sum(spent.values()), status=decision.status,
        y=sum(votes) / len(votes) if votes else None, low=low, high=high, votes=len(votes),
        measured_by="the decision" if own else "the yardstick",
        predicted=(f.get("predicted") or {}).get("value"), reason=reason(round_),
        candidate=decision.candidate.slug, decision=str(decision.pk),
    )  # fmt: skip


def reason(round_: Round) -> str:
    """Why a candidate was refused, for instance: predicted 71%, people 52% [44, 60]: longer, not better."""
    decision = round_.decision
    if decision is None or decision.status != "refused":
        return ""
    f = decision.figures
    if f.get("share") is None:
        return "no votes"
    people = f"people {f['share']:.0%} [{100 * f['low']:.0f}, {100 * f['high']:.0f}]"
    predicted = (f.get("predicted") or {}).get("value")
    told = f"predicted {predicted:.0%}, {people}" if predicted is not None else people
    return f"{told}: {_in_words(f)}"


def _in_words(f: dict[str, Any]) -> str:
    if f.get("decided") == "promote":
        blocked = [g["name"].replace("_", " ") for g in f.get("guardrails", []) if g["blocking"] and not g["passed"]]
        return f"held back by {', '.join(blocked)}" if blocked else "not better than the anchor"
    size = f.get("median_length") or {}
    ratio = size.get("candidate", 0) / max(size.get("live", 0), 1)
    if ratio > LONGER:
        return "longer, not better"
    if 0 < ratio < 1 / LONGER:
        return "shorter, not better"
    return "too few votes" if f.get("used_up") else "not better"


def example(loop: Loop) -> dict[str, str] | None:
    """What the first policy said and what the one that is live says now, to one dev prompt drawn for the last point."""
    rounds = loop.rounds.filter(decision__status="promoted").order_by("-number").select_related("decision")
    last, first = rounds.first(), yardstick.first_policy(loop)
    if last is None or last.decision is None or first is None:
        return None
    after = last.decision.candidate
    keys = [entry["prompt"] for entry in last.facts.get("yardstick", [])]
    if not keys:  # its own ballot was against the first policy; those prompts retire, so they may be shown
        keys = [entry["prompt"] for entry in last.decision.entries]
    for prompt in sorted(Prompt.objects.filter(key__in=keys), key=lambda p: keys.index(p.key)):
        said = {
            r.policy_id: r.content
            for r in Response.objects.filter(prompt=prompt, draw=0, policy__in=(first.pk, after.pk))
        }
        if len(said) == 2 and said[first.pk].strip() != said[after.pk].strip():
            return {"prompt": prompt.last_turn, "before": said[first.pk], "after": said[after.pk]}
    return None


def simulated(loop: Loop) -> bool:
    """Whether simulated people said any of it: then the figure's title says so."""
    mine = Q(queue=loop.queue) | Q(queue__decision__round__loop=loop)
    return Judgment.objects.filter(mine, author_kind="simulated").exists()
