"""Every figure that a verdict rests on, and the one sentence that says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from feedback.models import Prompt, Response
from feedback.stats.power import promotion_rate
from feedback.stats.sequential import Rule, Sequential, log_statistic
from feedback.stats.style import STYLE_NAMES, style_matrix
from feedback.stats.style_control import controlled_share

from . import gate_prompts
from .ballots import Vote
from .models import Decision

LENGTH = STYLE_NAMES.index("more characters")
STYLE = [STYLE_NAMES.index(name) for name in ("more characters", "lists", "headings", "bold text")]
WORSE = 0.45  # a candidate that loses ten points: how often would this rule let it through?


def figures(test: Sequential, cast: Sequence[Vote], of: int) -> dict[str, Any]:
    """Where one ballot stands, rounded for keeping; `votes` are those that the rule has consumed."""
    used = list(cast[: test.n])
    rule = test.rule
    xs = [vote["x"] for vote in used]
    path: Any = log_statistic(rule, np.asarray(xs, dtype=float)) if xs else []
    return {
        "votes": used,
        "n": test.n,
        "score": test.score,
        "share": round(test.share, 4) if test.n else None,
        "low": round(test.low, 4),
        "high": round(test.high, 4),
        "statistic": round(test.statistic, 4),
        "path": [round(float(x), 4) for x in path],
        "upper": round(rule.upper, 4),
        "lower": round(rule.lower, 4) if rule.lower > float("-inf") else None,
        "decided": test.decided,
        "used_up": test.used_up,
        "expected_more": test.expected_more_votes(p=rule.p1) if test.decided is None else 0,
        "wins": sum(x == 1 for x in xs),
        "losses": sum(x == 0 for x in xs),
        "halves": sum(x == 0.5 for x in xs),
        "of": of,
    }


def style_controlled(decision: Decision, votes: Sequence[Vote]) -> dict[str, Any]:
    """The win rate among answers of the same length, and of the same style; None where votes are too few."""
    entry = {e["prompt"]: e for e in decision.entries}
    rows = [entry[v["prompt"]] for v in votes if v["prompt"] in entry]
    keys = [e[side] for e in rows for side in ("candidate", "live")]
    text = dict(Response.objects.filter(key__in=keys).values_list("key", "content"))
    if len(rows) != len(votes) or not set(keys) <= set(text):
        return {"length_controlled": None, "style_controlled": None}
    group = dict(Prompt.objects.filter(key__in=entry).values_list("key", "group"))
    groups = [group.get(e["prompt"]) or e["prompt"] for e in rows]
    style = [style_matrix([("", text[e[side]]) for e in rows]) for side in ("candidate", "live")]
    xs, gap = [v["x"] for v in votes], style[0] - style[1]
    return {
        "length_controlled": _estimate(controlled_share(xs, gap[:, LENGTH], groups)),
        "style_controlled": _estimate(controlled_share(xs, gap[:, STYLE], groups)),
    }


def _estimate(found: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


def error_rates(rule: Rule, alias: str) -> dict[str, Any]:
    """What the rule does at this pace: chances by truth, and false promotions a year if nothing were ever better."""
    pace = gate_prompts.a_year(alias)
    return {
        "equal": promotion_rate(rule, 0.5),
        "worse": promotion_rate(rule, WORSE),
        "better": promotion_rate(rule, rule.p1),
        "alpha": rule.alpha,
        "decisions_a_year": None if pace is None else round(pace, 1),
        "false_a_year": None if pace is None else round(pace * rule.alpha, 2),
    }


def sentence(decision: Decision) -> str:
    """The verdict in one sentence a person can read out."""
    f = decision.figures
    if decision.status == "preparing":
        return f"Not open yet: {decision.note or 'the answers to the drawn prompts are being made'}."
    if decision.status == "abandoned":
        return f"Abandoned after {so_far(f) if f else '0 votes'}: {decision.note}"
    if not f:
        return "No vote has been read yet."
    told = f"{so_far(f)} for the candidate, {interval(f)}"
    if decision.status == "voting":
        return _voting(decision, f, told)
    if decision.override_reason:
        return f"Promoted by a person against the verdict ({told}): {decision.override_reason}"
    if decision.status == "promoted":
        return f"Promoted: {told}{_also(f)}.{' ' + decision.note if decision.note else ''}"
    return f"Not promoted: {told}; {why_not(decision)}."


def so_far(f: dict[str, Any]) -> str:
    return f"{f.get('score', 0):g} of {f.get('n', 0)} votes"


def interval(f: dict[str, Any]) -> str:
    return f"[{f['low']:.2f}, {f['high']:.2f}]"


def _voting(decision: Decision, f: dict[str, Any], told: str) -> str:
    if f.get("decided") == "promote" and f.get("anchor") is not None:
        anchor = f["anchor"]
        return f"Better than live ({told}); against the anchor not decided yet: {so_far(anchor)}, {interval(anchor)}."
    more = f.get("expected_more")
    truth = f"{decision.rule['p1']:.0%}"
    wait = f"about {more} more would settle it if it truly wins {truth}" if more else "voting goes on"
    return f"Not decided: {told}; {wait}."


def _also(f: dict[str, Any]) -> str:
    anchor = f.get("anchor")
    return f"; against the anchor {so_far(anchor)}, {interval(anchor)}" if anchor else ""


def why_not(decision: Decision) -> str:
    """The reason of a refusal: the votes, the anchor, or the guardrails that did not hold."""
    f = decision.figures
    if f.get("decided") != "promote":
        if f.get("used_up") or not f.get("decided"):
            return "the votes ran out before the evidence did"
        return "not the gain it had to show"
    anchor = f.get("anchor")
    if anchor is not None and anchor.get("decided") != "promote":
        return f"against the anchor it got {so_far(anchor)} only, {interval(anchor)}"
    stopped = [row for row in f.get("guardrails", []) if row["blocking"] and not row["passed"]]
    told = "; ".join(f"{row['name'].replace('_', ' ')}: {row['text'].split(';')[0]}" for row in stopped)
    return f"people prefer it, but a guardrail did not hold: {told}" if told else "not the gain it had to show"
