"""Who writes the better answers, by people's comparisons on dev prompts. It ranks; it decides nothing.

Answers of people, of simulated people and of models are never mixed: one table each. Intervals cluster by prompt
group. The method is `feedback.stats.standings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from feedback import aggregation, pairing
from feedback.errors import BadInput, Conflict
from feedback.models import Comparison, Item, Judgment, Policy, Prompt, Queue, Response, User
from feedback.stats.standings import Standings, fit_standings
from feedback.stats.style import STYLE_NAMES, style_features

KINDS = Judgment.KINDS
STYLE = ("more characters", "headings", "lists", "bold text")
COLUMNS = [STYLE_NAMES.index(name) for name in STYLE]
OUTCOMES = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}
LEAST = 10  # votes before a table is shown
DRAWS = 200


@dataclass(frozen=True)
class Board:
    """rows: best first, {"policy", "best", "worst", "strength", "low", "high", "win_rate", "votes"}, where win_rate is
    against the average of the others; side, style_terms: {"value", "low", "high"} in log odds; controlled: no style.
    """

    kind: str
    controlled: bool
    votes: int
    rows: list[dict[str, Any]]
    side: dict[str, float] | None
    style_terms: list[dict[str, Any]]


def board(*, kind: str = "human", controlled: bool = False, prompt_filter: dict[str, Any] | None = None) -> Board:
    """The table of one kind of judge. BadInput for a kind that there is not."""
    if kind not in KINDS:
        raise BadInput(f"kind: one of {', '.join(KINDS)}.", where="kind")
    votes = _votes(kind, prompt_filter or {})
    policies = sorted({v[side] for v in votes for side in ("left", "right")})
    if len(votes) < LEAST or len(policies) < 2:
        return Board(kind, controlled, len(votes), [], None, [])
    number = {slug: n for n, slug in enumerate(policies)}
    style = np.array([v["style"] for v in votes]) if controlled else None
    found = fit_standings(
        len(policies), [number[v["left"]] for v in votes], [number[v["right"]] for v in votes],
        [v["x"] for v in votes], groups=[v["group"] for v in votes], style=style, weight=[v["weight"] for v in votes],
        draws=DRAWS,
    )  # fmt: skip
    return Board(kind, controlled, len(votes), _rows(policies, votes, found), _term(found.side), _style(found))


def _votes(kind: str, prompt_filter: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a comparison on a dev prompt between answers of two policies, left as it was shown."""
    standing = Judgment.objects.filter(aggregation.standing(), author_kind=kind)
    where = {f"judgment__item__prompt__{name}": value for name, value in prompt_filter.items()}
    found = Comparison.objects.filter(
        judgment__in=standing, judgment__item__prompt__split="dev", judgment__item__prompt__quarantined=False,
        judgment__item__gold__isnull=True, **where,
    )  # fmt: skip
    found = found.select_related("a__policy", "b__policy", "a__prompt", "judgment__assignment", "judgment__item")
    return [_vote(c) for c in found.order_by("pk") if c.a.policy_id != c.b.policy_id]


def _vote(c: Comparison) -> dict[str, Any]:
    x, left, right = OUTCOMES[c.outcome], c.a, c.b
    if _shown_second(c):
        x, left, right = 1 - x, c.b, c.a
    style = [np.array(style_features(c.a.prompt.last_turn, r.content))[COLUMNS] for r in (left, right)]
    return {
        "left": left.policy.slug, "right": right.policy.slug, "x": x, "group": c.a.prompt.group, "weight": c.weight,
        "style": style[0] - style[1],
    }  # fmt: skip


def _shown_second(c: Comparison) -> bool:
    """Whether `a` stood on the right. Imported judgments do not say: by a fair coin of their own."""
    order = c.judgment.assignment.order if c.judgment.assignment else None
    if order is None:
        return c.judgment.pk.int % 2 == 1
    places = {r.pk: n for n, r in enumerate(c.judgment.item.ordered_responses())}
    return bool(order.index(places[c.a_id]) > order.index(places[c.b_id]))


def _rows(policies: list[str], votes: list[dict[str, Any]], found: Standings) -> list[dict[str, Any]]:
    counts = {slug: sum(slug in (v["left"], v["right"]) for v in votes) for slug in policies}
    rows = [
        {
            "policy": slug, "best": int(found.best[n]), "worst": int(found.worst[n]),
            "strength": round(float(found.value[n]), 4), "low": round(float(found.low[n]), 4),
            "high": round(float(found.high[n]), 4), "votes": counts[slug],
            "win_rate": round(float(np.mean([found.win_rate(n, k) for k in range(len(policies)) if k != n])), 4),
        }
        for n, slug in enumerate(policies)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["strength"], row["policy"]))


def _term(term: Any) -> dict[str, float]:
    return {"value": round(term.value, 4), "low": round(term.low, 4), "high": round(term.high, 4)}


def _style(found: Standings) -> list[dict[str, Any]]:
    return [{"name": name, **_term(term)} for name, term in zip(STYLE, found.style, strict=False)]


def ask(
    *,
    policies: list[Policy],
    queue: Queue,
    limit: int,
    prompt_filter: dict[str, Any] | None = None,
    actor: User | None = None,
) -> list[Item]:
    """Put up to `limit` pairs into the queue: dev prompts that two of the policies have answered, each prompt once.

    The two are drawn by the prompt's key, so every pair of policies gets its turn (arm `control`). Raises Conflict
    when no dev prompt has answers of two of them that differ.
    """  # fmt: skip
    if len({p.pk for p in policies}) < 2:
        raise BadInput("policies: name two or more.", where="policies")
    if queue.kind != "comparison" or queue.purpose != "label":
        raise BadInput("queue: comparisons of policies go into a label queue of kind comparison.", where="queue")
    prompts = Prompt.objects.filter(split="dev", quarantined=False, **(prompt_filter or {})).order_by("key")
    said: dict[int, dict[int, Response]] = {}
    for r in Response.objects.filter(policy__in=policies, prompt__in=prompts, draw=0).order_by("key"):
        said.setdefault(r.prompt_id, {})[r.policy_id] = r
    drafts = [d for prompt in prompts if (d := _draft(prompt, said.get(prompt.pk, {}))) is not None][:limit]
    if not drafts:
        raise Conflict("No dev prompt has different answers by two of these policies yet; sample some first.")
    return pairing.add_items(queue=queue, drafts=drafts, actor=actor)[0]


def _draft(prompt: Prompt, said: dict[int, Response]) -> pairing.Draft | None:
    rng = np.random.default_rng(int(prompt.key[:12], 16))
    order = rng.permutation(sorted(said)).tolist()
    if len(order) < 2:
        return None
    a, b = said[order[0]], said[order[1]]
    return None if a.content.strip() == b.content.strip() else pairing.Draft(prompt, [a, b], arm="control")
