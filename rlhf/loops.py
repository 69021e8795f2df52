"""The standing order: each tick looks where the open round is and does the next thing, once.

    collect  wait for enough new preferences
    gather   freeze them into a dataset
    reward   fit the ensemble head
    sample   fresh answers of the live policy to train prompts
    rank     score them with the head
    train    DPO on best against worst, plus the people's own pairs; best-of-n is registered as a policy too
    answer   candidate and live policy answer gate prompts
    vote     people decide, blind
    ask      alarms are looked for; the yardstick's pairs and the most informative ones go into the queue

A step that needs a run orders it and points at it in one transaction, so a tick that dies or runs twice
orders nothing twice. Ticks of one loop exclude each other by the round's guarded status.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from django.db import transaction
from django.utils import timezone

from feedback import aggregation, events, intake
from feedback.errors import BadInput, Conflict, PlumblineError, StaleTransition
from feedback.lifecycle import advance
from feedback.models import Judgment, Policy, Prompt, Queue, User
from feedback.stats.sequential import Rule
from feedback.wake import wake

from . import (
    alarms,
    bases,
    budgets,
    deployments,
    gates,
    guardrails,
    proposals,
    reward_datasets,
    runs,
    sampling,
    selection,
    triggers,
    yardstick,
)
from .budgets import RUN_FIELDS, Budget
from .models import Alarm, Loop, RewardModel, Round, RoundStep, Run

STEPS: dict[str, str] = {
    "collecting": "Collect",
    "gathering": "Gather",
    "rewarding": "Reward",
    "sampling": "Sample",
    "ranking": "Rank",
    "training": "Train",
    "answering": "Answer",
    "voting": "Vote",
    "asking": "Ask",
}
NEXT = dict(zip(STEPS, [*list(STEPS)[1:], "closed"], strict=True))


@dataclass(frozen=True)
class LoopConfig:
    """How a loop goes round.

    every: new settled preferences that start a round; hours, least: so many hours after the last round began the
    next one starts too, if there are at least `least` (0 hours: no schedule); budget: see budgets.Budget, the loop
    pauses when it is used up; yardstick: votes a round for the candidate against the first policy;
    draws: answers a train prompt to choose from; train_prompts: at most so many prompts sampled;
    ask: items put into the queue after a round;
    penalty: lambda in mean - lambda * sd; best_of: n of the policy that picks by the head alone;
    own_pairs: the people's own pairs on the live policy's answers join the training pairs;
    guardrails: margins that differ from the standard ones, see guardrails.parse_margins.
    """

    every: int = 120
    hours: float = 0.0
    least: int = 20
    budget: dict[str, Any] = field(default_factory=dict)
    yardstick: int = 0
    draws: int = 4
    train_prompts: int = 400
    ask: int = 120
    penalty: float = 1.0
    min_gap: float = 0.0
    max_pairs: int = 400
    best_of: int = 4
    own_pairs: bool = True
    reward: dict[str, Any] = field(default_factory=dict)
    dpo: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=lambda: {"name": "sprt", "limit": 200})
    guardrails: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: Any) -> LoopConfig:
        """A checked config; BadInput names the field, down to the reward, dpo and gate settings."""
        if not isinstance(data, dict):
            raise BadInput("config: expected an object.", where="config")
        known = {f.name: f for f in fields(cls)}
        for name in data:
            if name not in known:
                raise BadInput(f"config.{name}: unknown; known are {', '.join(known)}.", where=f"config.{name}")
        config = cls(**data)
        config._check()
        return config

    def _check(self) -> None:
        for name in ("every", "least", "draws", "train_prompts", "ask", "max_pairs", "best_of", "yardstick"):
            value, lowest = getattr(self, name), 0 if name == "yardstick" else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise BadInput(f"config.{name}: expected a whole number from {lowest}.", where=f"config.{name}")
        if isinstance(self.hours, bool) or not isinstance(self.hours, int | float) or not 0 <= self.hours <= 8760:
            raise BadInput("config.hours: expected hours from 0 to 8760.", where="config.hours")
        Budget.parse(self.budget)
        if self.draws < 2:
            raise BadInput("config.draws: at least 2, to have a better and a worse one.", where="config.draws")
        runs.check_config("reward", self.reward)
        runs.check_config("dpo", self.dpo)
        gates.parse_rule(self.gate)
        guardrails.parse_margins(self.guardrails)

    @property
    def rule(self) -> Rule:
        return gates.parse_rule(self.gate)


class Wait(Exception):
    """Nothing to do now; the message says what the round waits for."""


def create(
    *,
    slug: str,
    title: str,
    queue: Queue,
    policy: Policy,
    alias: str,
    config: dict[str, Any] | None = None,
    prompt_filter: dict[str, Any] | None = None,
    demo: bool = False,
    actor: User | None = None,
) -> Loop:
    """A standing order over `queue`; `policy` becomes live under `alias` unless something is live there already."""
    checked = LoopConfig.parse(config or {})
    if policy.kind != "local":
        raise BadInput("policy: a loop trains a local policy.", where="policy")
    bases.require_known(policy.base)
    if Loop.objects.filter(slug=slug).exists():
        raise Conflict(f"There is a loop {slug} already.")
    with transaction.atomic():
        loop = Loop.objects.create(
            slug=slug, title=title, queue=queue, base=policy.base, alias=alias, config=asdict(checked),
            prompt_filter=prompt_filter or {}, demo=demo,
        )  # fmt: skip
        if deployments.live(alias) is None:
            deployments.promote(policy=policy, alias=alias, actor=actor, reason=f"start of loop {slug}")
        events.record("loop.created", loop, actor=actor, after={"config": asdict(checked)})
        _open_round(loop)
    return loop


def set_active(*, loop: Loop, active: bool, actor: User | None = None) -> Loop:
    alarm = Alarm.objects.filter(loop=loop, status="open", severity="serious").first() if active else None
    if alarm is not None:
        raise Conflict(f"An alarm paused this loop; look at it and close it first: {alarm.sentence}")
    with transaction.atomic():
        advance(loop, "active" if active else "paused")
        events.record("loop.active" if active else "loop.paused", loop, actor=actor)
    return loop


def tick(*, loop: Loop, force: bool = False) -> str:
    """Do the next thing of the open round; returns what it waits for now. `force` starts with what there is."""
    if loop.status != "active":
        return "This loop is paused."
    if spent := _pause_when_spent(loop):
        return spent
    round_ = current(loop)
    for _ in range(len(STEPS)):  # go on as long as steps finish at once
        if round_.status == "failed":
            return round_.explain
        try:
            waits_for = _step(round_, LoopConfig.parse(loop.config), force)
        except StaleTransition:
            return "Another worker is on it."
        except PlumblineError as wrong:
            return _fail(round_, wrong.message)
        if waits_for:
            return _explain(round_, waits_for)
        if round_.status == "closed":
            return f"Round {round_.number} is closed."
    return round_.explain


def _pause_when_spent(loop: Loop) -> str:
    """Between rounds, and before people are asked anything more: a loop without budget pauses and says so."""
    why = budgets.used_up(loop, Budget.parse(loop.config.get("budget", {})))
    if not why:
        return ""
    with transaction.atomic():
        if Loop.objects.filter(pk=loop.pk, status="active").update(status="paused"):
            loop.status = "paused"
            events.record("loop.paused", loop, after={"budget": why})
    return _explain(current(loop), f"Paused: {why}.")


@transaction.atomic
def _step(round_: Round, config: LoopConfig, force: bool) -> str:
    """One step under the round's lock; what was ordered is kept even when the step has to wait."""
    _lock(round_)
    try:
        STEP_VERBS[round_.status](round_, config, force)
    except Wait as wait:
        return str(wait)
    _leave_step(round_)
    return ""


def tick_all() -> None:
    for loop in Loop.objects.filter(status="active"):
        tick(loop=loop)


def retry(*, round_: Round, actor: User | None = None) -> Round:
    """Send a failed round back to the step that failed; a run that failed is put back, not made again."""
    if round_.status != "failed":
        raise Conflict(f"Round {round_.number} has not failed.")
    with transaction.atomic():
        own = [getattr(round_, name) for name in RUN_FIELDS]
        for run in filter(None, [*own, *round_.yardstick_runs.all()]):
            if run.status in ("failed", "cancelled"):
                runs.resume(run=run, actor=actor)
        advance(round_, round_.failed_step, explain="Going on.", failed_step="")
    return round_


def current(loop: Loop) -> Round:
    """The open round; the next one is opened when the last has closed."""
    found = loop.rounds.exclude(status="closed").first()
    return found or _open_round(loop)


def _open_round(loop: Loop) -> Round:
    last = loop.rounds.order_by("-number").first()
    round_, created = Round.objects.get_or_create(loop=loop, number=last.number + 1 if last else 1)
    if created:
        RoundStep.objects.create(round=round_, name="collecting", started_at=timezone.now())
    return round_


def _lock(round_: Round) -> None:
    """Hold the row for the step; StaleTransition when another tick has moved it meanwhile."""
    held = Round.objects.select_for_update(of=("self",)).filter(pk=round_.pk, status=round_.status).first()
    if held is None:
        raise StaleTransition("the round has moved")
    for name in (*RUN_FIELDS, "dataset", "decision", "live", "best_of"):
        setattr(round_, f"{name}_id", getattr(held, f"{name}_id"))
    round_.facts = held.facts


def _leave_step(round_: Round) -> None:
    now, left = timezone.now(), round_.status
    following = NEXT[left]
    closing = {"closed_at": now} if following == "closed" else {}
    advance(round_, following, explain="", **closing)
    RoundStep.objects.filter(round=round_, name=left).update(ended_at=now)
    if following != "closed":
        RoundStep.objects.get_or_create(round=round_, name=following, defaults={"started_at": now})
    events.record("round.advanced", round_, before={"step": left}, after={"step": following})
    wake("rlhf.tasks.tick_loops")


def _explain(round_: Round, text: str) -> str:
    if text != round_.explain:
        Round.objects.filter(pk=round_.pk).update(explain=text[:500])
        round_.explain = text[:500]
    return text


def _fail(round_: Round, message: str) -> str:
    step = round_.status
    advance(round_, "failed", failed_step=step, explain=f"{STEPS[step]} failed: {message}"[:500])
    events.record("round.failed", round_, after={"step": step, "message": message[:500]})
    return round_.explain


# --- the steps -------------------------------------------------------------------------------------------


def _collect(round_: Round, config: LoopConfig, force: bool) -> None:
    new = new_judgments(round_)
    when: dict[str, Any] = {"new": new, "every": config.every, "hours": config.hours, "least": config.least}
    why = f"started by hand with {new} new preferences" if force and new else triggers.due(round_, **when)
    if not why:
        raise Wait(triggers.waiting(round_, **when))
    _remember(round_, live=deployments.live(round_.loop.alias), facts={"new_judgments": new, "trigger": why})


def new_judgments(round_: Round) -> int:
    """Settled judgments on train prompts made since the last round's dataset."""
    since = Round.objects.filter(loop=round_.loop, dataset__isnull=False, number__lt=round_.number).first()
    fresh = Judgment.objects.filter(
        aggregation.standing(),
        queue=round_.loop.queue,
        item__status="settled",
        item__prompt__split="train",
    )
    if since is not None and since.dataset is not None:
        fresh = fresh.filter(gathered_at__gt=since.dataset.ready_at)
    return fresh.count()


def _gather(round_: Round, config: LoopConfig, force: bool) -> None:
    if round_.dataset is None:
        name = f"{round_.loop.slug} round {round_.number}"
        _remember(round_, dataset=reward_datasets.order(name=name, queues=[round_.loop.queue]))
        raise Wait("freezing the preferences into a dataset")
    if round_.dataset.status == "failed":
        raise Conflict(round_.dataset.error)
    if round_.dataset.status != "ready":
        raise Wait("freezing the preferences into a dataset")
    rows = round_.dataset.counts["rows"]
    _remember(round_, facts={"pairs": rows["train"], "ties": rows["ties"]})


def _reward(round_: Round, config: LoopConfig, force: bool) -> None:
    run = _run(round_, "reward_run", lambda: runs.start(
        kind="reward", dataset=round_.dataset, base=round_.loop.base, config=config.reward, seed=round_.number
    ))  # fmt: skip
    _remember(round_, facts={"reward": run.result.get("figures", {})})


def _sample(round_: Round, config: LoopConfig, force: bool) -> None:
    prompts = train_prompts(round_.loop)[: config.train_prompts]
    if not prompts:
        raise Conflict("There is no train prompt to sample answers for.")
    assert round_.live is not None
    live = round_.live
    _run(round_, "sample_run", lambda: sampling.sample(
        policy=live, prompts=prompts, draws=draws_of(round_.number, config), seed=round_.number
    ))  # fmt: skip


def _rank(round_: Round, config: LoopConfig, force: bool) -> None:
    live, prompts = round_.live, train_prompts(round_.loop)[: config.train_prompts]
    assert live is not None
    _run(round_, "score_run", lambda: _score(round_, live, prompts, draws_of(round_.number, config)))


def _train(round_: Round, config: LoopConfig, force: bool) -> None:
    run = _run(round_, "train_run", lambda: _start_training(round_, config))
    assert run.produced_policy is not None
    figures = {k: run.result.get(k) for k in ("seconds", "rows", "figures") if k in run.result}
    _remember(round_, facts={"training": figures, "candidate": run.produced_policy.slug})


def _start_training(round_: Round, config: LoopConfig) -> Run:
    live, score_run = round_.live, round_.score_run
    assert live is not None and score_run is not None
    pairs = selection.best_and_worst(score_run, penalty=config.penalty, min_gap=config.min_gap)
    pairs = sorted(pairs, key=lambda p: -float(str(p["gap"])))[: config.max_pairs]
    best_of = _register_best_of(round_, config)
    _remember(round_, best_of=best_of, facts={"ranked_pairs": len(pairs)})
    slug = f"{round_.loop.slug}-round-{round_.number}"
    inputs = {"pairs": pairs, "slug": slug, "only_policy": True}
    return runs.start(
        kind="dpo", policy=live, dataset=round_.dataset if config.own_pairs else None, config=config.dpo, inputs=inputs,
        seed=round_.number,
    )  # fmt: skip


def _register_best_of(round_: Round, config: LoopConfig) -> Policy:
    """Best-of-n of the live policy by this round's head: the baseline that training has to beat."""
    live, model = round_.live, _reward_model(round_)
    assert live is not None
    policy, _ = intake.add_policy(
        slug=f"{round_.loop.slug}-best-of-{config.best_of}-round-{round_.number}", kind="local", base=live.base,
        adapter=live.adapter, head=model.artifact, system_prompt=live.system_prompt, parent=live,
        decoding={**live.decoding, "best_of": config.best_of}, note=f"best of {config.best_of} by {model.slug}",
    )  # fmt: skip
    return policy


def _answer(round_: Round, config: LoopConfig, force: bool) -> None:
    """All sides answer the gate prompts drawn for this round; the draw is stored before the first answer."""
    assert round_.train_run is not None and round_.live is not None
    candidate = round_.train_run.produced_policy
    assert candidate is not None
    if round_.decision is None:
        decision = proposals.propose(
            candidate=candidate, label_queue=round_.loop.queue, alias=round_.loop.alias, rule=config.rule,
            prompt_filter=round_.loop.prompt_filter, margins=config.guardrails, reward_model=_reward_model(round_),
            seed=round_.pk,
        )  # fmt: skip
        _remember(round_, decision=decision, facts={"gate_prompts": [e["prompt"] for e in decision.entries]})
    assert round_.decision is not None
    decision = proposals.prepare(decision=round_.decision)
    runs_of = {run.policy_id: run for run in decision.runs.filter(kind="generate").order_by("-created_at")}
    _remember(round_, answer_run=runs_of.get(candidate.pk), live_answer_run=runs_of.get(round_.live.pk))
    failed = next((run for run in runs_of.values() if run.status in ("failed", "cancelled")), None)
    if failed is not None:
        raise Conflict(failed.note or f"the {failed.kind} run was {failed.status}")
    if decision.status == "preparing":
        raise Wait(decision.note)
    if decision.status == "abandoned":
        raise Conflict(f"the decision was abandoned: {decision.note}")


def _vote(round_: Round, config: LoopConfig, force: bool) -> None:
    assert round_.decision is not None
    decision = gates.consume(decision=round_.decision)
    if decision.status == "voting":
        raise Wait(f"waiting for blind votes. {gates.sentence(decision)}")


def _ask(round_: Round, config: LoopConfig, force: bool) -> None:
    """The policy that is live now answers some train prompts afresh; the head picks what people are asked next."""
    live = deployments.live(round_.loop.alias)
    assert live is not None
    _measure(round_, config)
    prompts = _prompts_to_ask(round_, config)
    draws = draws_of(round_.number + 1, config)
    _run(round_, "next_run", lambda: sampling.sample(policy=live, prompts=prompts, draws=draws, seed=round_.number))
    scored = _run(round_, "next_score_run", lambda: _score(round_, live, prompts, draws))
    items, arms = selection.ask(queue=round_.loop.queue, score_run=scored, limit=config.ask, seed=round_.number)
    _remember(round_, facts={"asked": len(items), "arms": arms})
    _look_for_alarms(round_)


def _look_for_alarms(round_: Round) -> None:
    """A round that is done is looked at once. A serious alarm pauses the loop: no further round starts until a person
    has closed it."""
    raised = alarms.sound(round_, alarms.examine(round_))
    _remember(round_, facts={"alarms": len(raised)})


def _measure(round_: Round, config: LoopConfig) -> None:
    """Put the yardstick's pairs into the queue, unless the decision itself was a vote against the first policy."""
    first = yardstick.first_policy(round_.loop)
    if not config.yardstick or first is None or round_.live_id == first.pk or "yardstick" in round_.facts:
        return
    waits_for, run = yardstick.missing(round_, config.yardstick)
    if run is not None:
        round_.yardstick_runs.add(run)
    if waits_for:
        raise Wait(waits_for)
    _remember(round_, facts={"yardstick": yardstick.put(round_, config.yardstick)})


def draws_of(number: int, config: LoopConfig) -> range:
    """Each round looks at draws of its own, so that what people are asked is always fresh."""
    return range(config.draws * (number - 1), config.draws * number)


def _prompts_to_ask(round_: Round, config: LoopConfig) -> list[Prompt]:
    prompts = train_prompts(round_.loop)
    return random.Random(round_.pk).sample(prompts, min(config.ask, len(prompts)))


def _score(round_: Round, policy: Policy, prompts: list[Prompt], draws: range) -> Run:
    answers = sampling.answers(policy, prompts, draws)
    keys = [r.key for rs in answers.values() for r in rs]
    return runs.start(kind="score", reward_model=_reward_model(round_), inputs={"responses": keys}, seed=round_.number)


def _reward_model(round_: Round) -> RewardModel:
    assert round_.reward_run is not None
    return RewardModel.objects.get(run=round_.reward_run)


def _run(round_: Round, name: str, order: Callable[[], Run | None]) -> Run:
    """The run of this step, ordered the first time; Wait until it is done, Conflict when it failed.

    `order` returning None means that there was nothing to do (all answers were there).
    """
    if name in round_.facts.get("nothing_to_do", []):
        return Run()
    run: Run | None = getattr(round_, name)
    if run is None:
        run = order()
        if run is None:
            _remember(round_, facts={"nothing_to_do": [*round_.facts.get("nothing_to_do", []), name]})
            return Run()
        made: dict[str, Any] = {name: run}
        _remember(round_, **made)
        raise Wait(_describe(run))
    if run.status in ("failed", "cancelled"):
        raise Conflict(run.note or f"the {run.kind} run was {run.status}")
    if run.status != "done":
        raise Wait(_describe(run))
    return run


def _describe(run: Run) -> str:
    what = {
        "generate": "sampling answers",
        "score": "scoring answers",
        "reward": "fitting the reward head",
        "dpo": "training the policy",
    }
    if run.status == "queued":
        return f"{what[run.kind]}: {run.note or 'waiting for a worker'}"
    return f"{what[run.kind]}: {run.phase or 'step'} {run.step} of {run.total_steps or '?'}"


def _remember(round_: Round, *, facts: dict[str, Any] | None = None, **fields: Any) -> None:
    """Write what a step made into the round's row."""
    if facts:
        fields["facts"] = {**round_.facts, **facts}
    Round.objects.filter(pk=round_.pk).update(**fields)
    for name, value in fields.items():
        setattr(round_, name, value)


def workspace_prompts(loop: Loop, split: str) -> list[Prompt]:
    """The loop's prompts of a split, in a fixed order."""
    mine = Prompt.objects.filter(split=split, quarantined=False, **loop.prompt_filter)
    return list(mine.order_by("key"))


def train_prompts(loop: Loop) -> list[Prompt]:
    return workspace_prompts(loop, "train")


STEP_VERBS: dict[str, Callable[[Round, LoopConfig, bool], None]] = {
    "collecting": _collect,
    "gathering": _gather,
    "rewarding": _reward,
    "sampling": _sample,
    "ranking": _rank,
    "training": _train,
    "answering": _answer,
    "voting": _vote,
    "asking": _ask,
}
