"""Figures that go with a decision and decide nothing: the reward model's prediction, and how far the policy has moved.

A reward model's win rate is `predicted`, never evidence: the policy was trained on the same labels. Where it and the
people's differ by more than .10 there is an alarm. KL is measured from sampled answers, see `rlhf/engine/kl.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from feedback.models import Policy, Prompt, Response
from feedback.stats.estimates import Z95
from feedback.stats.noninferiority import clustered_mean

from . import runs, selection
from .models import Decision, DeploymentChange, Run

APART = 0.10


def order_prediction(decision: Decision) -> Run | None:
    """Both sides' answers, scored by the decision's reward model; None where it has none."""
    if decision.reward_model is None:
        return None
    keys = [entry[side] for entry in decision.entries for side in ("candidate", "live")]
    run = runs.start(kind="score", reward_model=decision.reward_model, inputs={"responses": keys}, seed=decision.seed)
    decision.runs.add(run)
    return run


def predicted(decision: Decision) -> dict[str, Any] | None:
    """{"value", "low", "high", "n"}: the win rate that the reward model expects, interval by prompt group."""
    run = decision.runs.filter(kind="score", status="done").order_by("-created_at").first()
    if run is None:
        return None
    keys, draws, _ = selection.scores_of(run)
    reward = dict(zip(keys, draws, strict=True))
    entries = [e for e in decision.entries if e["candidate"] in reward and e["live"] in reward]
    if not entries:
        return None
    wins = [float(expit(reward[e["candidate"]] - reward[e["live"]]).mean()) for e in entries]
    group = dict(Prompt.objects.filter(key__in=[e["prompt"] for e in entries]).values_list("key", "group"))
    mean, error, _ = clustered_mean(wins, [group.get(e["prompt"]) or e["prompt"] for e in entries])
    if not np.isfinite(error):
        return None
    low, high = max(0.0, mean - Z95 * error), min(1.0, mean + Z95 * error)
    return {"value": round(mean, 4), "low": round(low, 4), "high": round(high, 4), "n": len(wins)}


def apart(prediction: dict[str, Any] | None, people: float | None) -> bool:
    """The alarm: the prediction and the people's share differ by more than .10."""
    return prediction is not None and people is not None and abs(prediction["value"] - people) > APART


def order_distances(decision: Decision) -> list[Run]:
    """KL runs against live and, where it is another policy, the anchor; none where KL means nothing."""
    ordered = []
    for other in references(decision):
        if not kl_against(decision.candidate, other):
            inputs = {"against": other.slug, "prompts": [entry["prompt"] for entry in decision.entries]}
            config = {"system_prompt": decision.candidate.system_prompt}
            run = runs.start(
                kind="kl", policy=decision.candidate, config=config, inputs=inputs, seed=decision.seed % 2**31
            )
            decision.runs.add(run)
            ordered.append(run)
    return ordered


def references(decision: Decision) -> list[Policy]:
    """The live policy, and what the alias started with."""
    first = DeploymentChange.objects.filter(deployment__alias=decision.alias, kind="start").order_by("pk").first()
    found = [decision.live, *([first.policy] if first else [])]
    return [p for n, p in enumerate(found) if p != decision.candidate and p not in found[:n]]


def distances(decision: Decision) -> dict[str, Any]:
    """{slug: {"answer", "token", "n", "truncated"} or {"why"}} of every reference."""
    done = {run.inputs.get("against"): run for run in decision.runs.filter(kind="kl").order_by("created_at")}
    return {other.slug: _distance(decision, other, done.get(other.slug)) for other in references(decision)}


def _distance(decision: Decision, other: Policy, run: Run | None) -> dict[str, Any]:
    why = kl_against(decision.candidate, other)
    if why or run is None:
        return {"why": why or "not measured"}
    figures: dict[str, Any] = run.result.get("figures", {}) if run.status == "done" else {}
    return figures if figures.get("answer") else {"why": f"not measured: the run is {run.status}"}


def lengths(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Median characters of both sides' answers."""
    keys = [e[side] for e in entries for side in ("candidate", "live")]
    size = {key: len(text) for key, text in Response.objects.filter(key__in=keys).values_list("key", "content")}
    return {
        side: int(np.median([size[e[side]] for e in entries if e[side] in size] or [0]))
        for side in ("candidate", "live")
    }


def kl_against(candidate: Policy, other: Policy) -> str:
    """Why there is no KL between the two, or nothing."""
    if "external" in (candidate.kind, other.kind):
        return "not applicable: an outside policy gives no probabilities"
    if candidate.base != other.base:
        return "not applicable: they stand on different models"
    if candidate.system_prompt != other.system_prompt:
        return "not applicable: they read different system prompts"
    n = int(candidate.decoding.get("best_of", 1))
    if n > 1:
        return (
            f"not applicable: best of {n}; at most {np.log(n) - (n - 1) / n:.2f} nats an answer from what it draws from"
        )
    return ""
