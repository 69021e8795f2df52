"""Signs that a policy learnt to please the reward model instead of people; each pauses the loop or says why not.

    overpaid    the reward model predicts more than .10 above what people say
    length      the head's rewards follow the length of answers (Spearman above .6)
    repetition  more of the candidate's answers than of the live policy's repeat themselves

An alarm is a row with a sentence, its figures and samples. It is `serious`, pauses the loop and recalls a canary, when
people did not prefer the candidate; a candidate that people prefer is worth a `warning` only. Pairs of which the head
is surest go to people (arm `rule`): whether it deserves its confidence is for them to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import transaction
from django.utils import timezone
from scipy.stats import spearmanr

from feedback import events, pairing
from feedback.errors import BadInput
from feedback.lifecycle import advance
from feedback.models import Item, Response, User
from feedback.validators import repetition

from . import deployments, escorts, selection
from .models import Alarm, Loop, Round

LENGTH_CORRELATION = 0.6
LEAST = 20  # votes or answers below which nothing is said
REPEATS = 0.05
QUEUED = 20  # pairs put to people


@dataclass(frozen=True)
class Finding:
    kind: str
    sentence: str
    figures: dict[str, Any]


def examine(round_: Round) -> list[Finding]:
    """What is suspicious about a round that has been decided."""
    found = (overpaid(round_), length(round_), repeats(round_))
    return [finding for finding in found if finding]


def overpaid(round_: Round) -> Finding | None:
    """Predicted up while people's win rate is flat."""
    f = round_.decision.figures if round_.decision else {}
    predicted, people = f.get("predicted") or {}, f.get("share")
    if not predicted or people is None or f.get("n", 0) < LEAST:
        return None
    if predicted["value"] - people <= escorts.APART:
        return None
    told = f"people {people:.0%} [{f['low']:.0%}, {f['high']:.0%}]"
    sentence = f"The reward model predicts {predicted['value']:.0%} for the candidate, {told}."
    return Finding("overpaid", sentence, {"predicted": predicted["value"], "people": people})


def length(round_: Round) -> Finding | None:
    """Rewards that rise with the length of answers, over this round's scored answers."""
    run = round_.score_run
    if run is None or not run.artifact:
        return None
    _, _, summary = selection.scores_of(run)
    texts = dict(Response.objects.filter(key__in=summary).values_list("key", "content"))
    keys = sorted(texts)
    sizes = [len(texts[key]) for key in keys]
    if len(keys) < LEAST or np.ptp(sizes) == 0:
        return None
    rho = float(spearmanr([summary[key]["mean"] for key in keys], sizes).statistic)
    if not rho > LENGTH_CORRELATION:
        return None
    return Finding("length", f"The head's rewards follow the length of answers (correlation {rho:.2f}).", {"rho": rho})


def repeats(round_: Round) -> Finding | None:
    """Share of answers that repeat themselves, candidate against live, on the drawn prompts."""
    entries = [e for e in (round_.decision.entries if round_.decision else []) if "live" in e]
    if len(entries) < LEAST:
        return None
    keys = [e[side] for e in entries for side in ("candidate", "live")]
    texts = dict(Response.objects.filter(key__in=keys).values_list("key", "content"))
    share = {
        side: float(np.mean([repetition.check(texts.get(e[side], "")) is not None for e in entries]))
        for side in ("candidate", "live")
    }
    if share["candidate"] - share["live"] <= REPEATS:
        return None
    told = f"{share['candidate']:.0%} of the candidate's answers repeat themselves, {share['live']:.0%} of live's."
    return Finding("repetition", told, share)


def sound(round_: Round, findings: list[Finding]) -> list[Alarm]:
    """Rows for the findings that have none yet; pairs go to people; a serious one pauses the loop."""
    raised = [alarm for finding in findings if (alarm := _raise(round_, finding)) is not None]
    serious = [alarm for alarm in raised if alarm.severity == "serious"]
    if raised:
        items = queue_samples(round_)
        Alarm.objects.filter(pk__in=[a.pk for a in raised]).update(samples=[str(i.key) for i in items])
    if serious:
        loop = round_.loop
        if Loop.objects.filter(pk=loop.pk, status="active").update(status="paused"):
            loop.status = "paused"
            events.record("loop.paused", loop, after={"alarm": serious[0].sentence})
        deployments.alarmed(alias=loop.alias, sentence=serious[0].sentence)
    return raised


def _raise(round_: Round, finding: Finding) -> Alarm | None:
    if Alarm.objects.filter(round=round_, kind=finding.kind).exists():
        return None
    promoted = round_.decision is not None and round_.decision.status == "promoted"
    return raise_alarm(
        kind=finding.kind, severity="warning" if promoted else "serious", sentence=finding.sentence,
        figures=finding.figures, loop=round_.loop, round_=round_, alias=round_.loop.alias,
    )  # fmt: skip


@transaction.atomic
def raise_alarm(
    *,
    kind: str,
    severity: str,
    sentence: str,
    figures: dict[str, Any] | None = None,
    samples: list[str] | None = None,
    loop: Loop | None = None,
    round_: Round | None = None,
    alias: str = "",
) -> Alarm:
    """An alarm's row and its event. A serious one about an alias recalls its canary."""
    alarm = Alarm.objects.create(
        kind=kind, severity=severity, sentence=sentence[:500], figures=figures or {}, samples=samples or [], loop=loop,
        round=round_, alias=alias,
    )  # fmt: skip
    told = {"kind": kind, "severity": severity, "sentence": alarm.sentence, "alias": alias}
    events.record("alarm.raised", alarm, after={**told, "loop": loop.slug if loop else None})
    if alias and severity == "serious":
        deployments.alarmed(alias=alias, sentence=alarm.sentence)
    return alarm


def close(*, alarm: Alarm, actor: User, note: str) -> Alarm:
    """A person has looked; what they found is stored."""
    if not note.strip():
        raise BadInput("note: say what you found; it is stored with your name.", where="note")
    with transaction.atomic():
        advance(alarm, "closed", closed_by=actor, closed_at=timezone.now(), note=note[:500])
        events.record("alarm.closed", alarm, actor=actor, after={"note": note[:500]})
    return alarm


def queue_samples(round_: Round) -> list[Item]:
    """The pairs of which the head is surest, among this round's scored answers to train prompts (arm `rule`)."""
    if round_.score_run is None or not round_.score_run.artifact:
        return []
    pairs = sorted(selection.best_and_worst(round_.score_run), key=lambda p: -float(str(p["gap"])))[:QUEUED]
    keys = [str(p[side]) for p in pairs for side in ("chosen", "rejected")]
    found = {r.key: r for r in Response.objects.filter(key__in=keys).select_related("prompt")}
    drafts = [
        pairing.Draft(found[str(p["chosen"])].prompt, [found[str(p["chosen"])], found[str(p["rejected"])]], "rule", 2)
        for p in pairs
    ]
    items, _ = pairing.add_items(queue=round_.loop.queue, drafts=drafts)
    return items
