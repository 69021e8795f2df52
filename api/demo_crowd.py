"""Simulated people close one round of each demo loop: they label, then vote; the workers do the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from api.crowd_tokens import at_work
from feedback import crowd
from feedback.errors import Conflict
from feedback.models import Queue
from feedback.simulated_people import Habits, work
from rlhf import demo_workspace, gates, loops
from rlhf.models import Loop, Round, Run
from rlhf.timetable import guessed_seconds, stops

PEOPLE = 6  # so that nobody makes a large share of the votes


@dataclass(frozen=True)
class Plan:
    """Who labels a demo loop, and how much of it: some items are left for people to see."""

    loop: str
    habits: Habits
    judgments: int


PLANS = (
    Plan("quick", Habits("polite_tiny", noise=0.05, seed=1), judgments=240),
    Plan("demo", Habits("clear_and_brief", noise=0.05, seed=1), judgments=200),
)

Say = Callable[[str], None]


@dataclass
class Teller:
    """Says once of each step how long it is likely to take (where somebody can know), and once what it took."""

    say: Say
    guess: dict[str, float]
    told: set[str] = field(default_factory=set)

    def look(self, round_: Round) -> None:
        for stop in stops(round_):
            expected = f", about {_span(self.guess[stop.name])}" if stop.name in self.guess else ""
            if stop.state in ("here", "done"):
                self._once(f"{round_.loop.slug}: {stop.title}{expected}")
            if stop.state == "done":
                self._once(f"{round_.loop.slug}: {stop.title} took {_span(stop.seconds or 0)}")

    def _once(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            self.say(line)


def close_round(*, plan: Plan, url: str, say: Say, wait: Callable[[], None] = lambda: time.sleep(1)) -> Round:
    """Label and vote over HTTP until the loop has closed a round; `wait` is called between looks.

    Says what each step is likely to take and what it took. Raises Conflict where a step fails. A loop that
    has closed a round before is left as it is.
    """
    loop = Loop.objects.get(slug=plan.loop, demo=True)
    if closed := loop.rounds.filter(status="closed").last():
        say(f"{loop.slug}: round {closed.number} is closed already")
        return closed
    guess = guessed_seconds(loop.rounds.order_by("number")[0])
    say(f"{loop.slug}: {loop.title}; about {_span(sum(guess.values()))} once there are answers to compare")
    _await_first_items(loop, say, wait)
    people = crowd.recruit(queue=loop.queue, count=PEOPLE)
    with at_work(people) as tokens:
        return _go_round(loop, plan, url, tokens, Teller(say, guess), wait)


def _await_first_items(loop: Loop, say: Say, wait: Callable[[], None]) -> None:
    """The toy model has to be trained, and to answer, before there is anything to compare."""
    told = ""
    while not loop.queue.items.exists() and not demo_workspace.fill_quick():
        run = Run.objects.exclude(status="done").filter(base=loop.base).order_by("created_at").first()
        if run is None or run.status in ("failed", "cancelled"):
            raise Conflict(f"{loop.slug}: nothing to compare. {run.note if run else ''}".strip())
        if (now := f"{loop.slug}: first the model and its answers: {run.kind} {run.note or run.status}") != told:
            say(told := now)
        wait()


def _go_round(
    loop: Loop, plan: Plan, url: str, tokens: dict[str, str], teller: Teller, wait: Callable[[], None]
) -> Round:
    while True:
        round_ = loop.rounds.order_by("number")[0]
        teller.look(round_)
        if round_.status == "closed":
            return round_
        if round_.status == "failed":
            raise Conflict(f"{loop.slug}: {round_.explain}")
        queue, judgments = _to_do(round_, plan)
        if queue is not None:
            with _not_starting_early(loop) if queue == loop.queue else nullcontext():
                done = work(url=url, tokens=tokens, queue=queue.slug, habits=plan.habits, judgments=judgments)
            if done.judgments:
                what = f"{done.judgments} simulated judgments in {queue.slug}, {done.seconds:.1f} s"
                teller.say(f"{loop.slug}: {what}")
        wait()


def _to_do(round_: Round, plan: Plan) -> tuple[Queue | None, int | None]:
    """The queue that needs people now, and how many judgments it needs (None: all there are)."""
    if round_.status == "collecting":
        missing = plan.judgments - round_.loop.queue.judgments.filter(withdrawn_at__isnull=True).count()
        return (round_.loop.queue, missing) if missing > 0 else (None, None)
    if round_.status == "voting" and round_.decision is not None and round_.decision.queue.status == "open":
        return round_.decision.queue, None
    return None, None


@contextmanager
def _not_starting_early(loop: Loop) -> Iterator[None]:
    """The loop would begin with the first `every` labels; here it waits for all that are planned."""
    loop.refresh_from_db()
    if loop.status == "active":
        loops.set_active(loop=loop, active=False)
    try:
        yield
    finally:
        loop.refresh_from_db()
        if loop.status == "paused":
            loops.set_active(loop=loop, active=True)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def summary(round_: Round) -> list[str]:
    """What the round came to: time by step, then what was decided."""
    taken = [(stop.title, stop.seconds or 0.0) for stop in stops(round_)]
    lines = [f"{round_.loop.slug}: round {round_.number} closed in {_span(sum(s for _, s in taken))}"]
    lines += [f"  {title:<8} {_span(seconds):>8}" for title, seconds in taken]
    if round_.decision is not None:
        lines.append(f"  {gates.sentence(round_.decision)}")
    return lines
