"""When a round entered and left its steps, and how long a step is likely to take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from django.db.models import Max, Min
from django.utils import timezone

from . import loops, sampling
from .loops import STEPS
from .models import Loop, Round, RoundStep, Run


@dataclass(frozen=True)
class Speed:
    """What a starter model does on two cores: tokens generated a second, texts read a second, seconds a DPO step."""

    tokens: float
    texts: float
    step: float
    answer: int  # tokens of an answer, about


# Measured on two cores without a GPU; guesses for the very first round only, then the loop's own times count.
SPEEDS = {
    "smollm2-135m-instruct": Speed(tokens=170, texts=13, step=4.7, answer=60),
    "tiny": Speed(tokens=2500, texts=400, step=0.3, answer=16),
}
STARTUP = 12.0  # seconds in which an engine loads its packages


@dataclass(frozen=True)
class Stop:
    """One step of a round. `state`: done, here, failed or ahead; seconds are None where nothing is known."""

    name: str
    title: str
    state: str
    seconds: float | None
    estimate: float | None
    guessed: bool = False
    left: float | None = None

    @property
    def running(self) -> bool:
        return self.state == "here"


def stops(round_: Round, now: datetime | None = None) -> list[Stop]:
    """The nine steps in order, with time taken, the usual time, and what is left of the present one."""
    now = now or timezone.now()
    times = {step.name: step for step in round_.steps.all()}
    usual = usual_seconds(round_.loop)
    guess = {} if usual else guessed_seconds(round_)
    here = round_.failed_step or round_.status
    names = list(STEPS)
    index = names.index(here) if here in STEPS else len(names)
    return [
        Stop(
            name=name,
            title=STEPS[name],
            state=_state(n, index, round_.status),
            seconds=_seconds(times.get(name), now),
            estimate=usual.get(name, guess.get(name)),
            guessed=name not in usual,
            left=_left(round_, name, now) if n == index else None,
        )
        for n, name in enumerate(names)
    ]


def usual_seconds(loop: Loop) -> dict[str, float]:
    """Median seconds of each finished step over the loop's rounds, the present one included."""
    found: dict[str, list[float]] = {}
    for step in RoundStep.objects.filter(round__loop=loop, ended_at__isnull=False):
        found.setdefault(step.name, []).append(_seconds(step, timezone.now()) or 0.0)
    return {name: median(values) for name, values in found.items()}


def guessed_seconds(round_: Round) -> dict[str, float]:
    """Before a loop's first times are known: the work there is over the speed of its base; {} for other bases.

    Collecting and voting wait for people, so nobody can guess them.
    """
    speed, live = SPEEDS.get(round_.loop.base), round_.live or loops.deployments.live(round_.loop.alias)
    if speed is None or live is None:
        return {}
    config = loops.LoopConfig.parse(round_.loop.config)
    prompts = loops.train_prompts(round_.loop)[: config.train_prompts]
    answer = speed.answer / speed.tokens
    missing = sum(map(len, sampling.missing_draws(live, prompts, range(config.draws)).values()))
    read = len(prompts) * config.draws / speed.texts
    gate = min(config.rule.limit or 200, len(loops.workspace_prompts(round_.loop, "gate")))
    steps = loops.runs.check_config("dpo", config.dpo)["max_steps"]
    return {
        "gathering": 3.0,
        "rewarding": STARTUP + 2 * config.every / speed.texts,
        "sampling": STARTUP + missing * answer if missing else 1.0,
        "ranking": STARTUP + read,
        "training": STARTUP + steps * speed.step,
        "answering": 2 * (STARTUP + gate * answer),
        "asking": 2 * STARTUP + read + len(prompts) * config.draws * answer,
    }


def seconds_left(run: Run | None, now: datetime | None = None) -> float | None:
    """What the present phase of a running job still needs at its pace; None before its first step."""
    if run is None or run.status != "running" or not (run.started_at and run.step and run.total_steps):
        return None
    gone = ((now or timezone.now()) - run.started_at).total_seconds()
    return max(0.0, (run.total_steps - run.step) * (_pace(run) or gone / run.step))


def _pace(run: Run) -> float | None:
    """Seconds a step over the last ten that reported figures: a resume or a slow start do not count."""
    recent = run.metrics.filter(step__gte=run.step - 10)
    span = recent.aggregate(first=Min("step"), last=Max("step"), began=Min("at"), ended=Max("at"))
    if span["first"] is None or span["last"] == span["first"]:
        return None
    return float((span["ended"] - span["began"]).total_seconds() / (span["last"] - span["first"])) or None


STEP_RUNS = {
    "rewarding": ("reward_run",),
    "sampling": ("sample_run",),
    "ranking": ("score_run",),
    "training": ("train_run",),
    "answering": ("answer_run", "live_answer_run"),
    "asking": ("next_run", "next_score_run"),
}


def step_runs(round_: Round, name: str) -> list[Run]:
    """The runs that a step ordered, as far as they exist."""
    return [run for field in STEP_RUNS.get(name, ()) if (run := getattr(round_, field)) is not None]


def _left(round_: Round, name: str, now: datetime) -> float | None:
    left = [s for run in step_runs(round_, name) if (s := seconds_left(run, now)) is not None]
    return sum(left) if left else None


def _state(n: int, index: int, status: str) -> str:
    if n < index:
        return "done"
    if n > index:
        return "ahead"
    return "failed" if status == "failed" else "here"


def _seconds(step: RoundStep | None, now: datetime) -> float | None:
    return ((step.ended_at or now) - step.started_at).total_seconds() if step else None
