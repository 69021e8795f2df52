"""Simulated people label a queue over HTTP, by a hidden reward. What they say is marked everywhere."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from api.crowd_tokens import at_work
from feedback import crowd
from feedback.errors import PlumblineError
from feedback.hidden_rewards import REWARDS
from feedback.models import Queue
from feedback.simulated_people import GaveUp, Habits, Work, work


def share(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise ArgumentTypeError("expected a number from 0 to 1")
    return value


def at_least(lowest: float) -> Any:
    def number(text: str) -> float:
        if (value := float(text)) < lowest:
            raise ArgumentTypeError(f"expected a number from {lowest:g}")
        return value

    return number


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queue", required=True, metavar="SLUG")
        parser.add_argument("--annotators", type=int, default=4, metavar="N")
        parser.add_argument("--judgments", type=int, metavar="M", help="in all; else until nothing is left")
        parser.add_argument("--reward", required=True, choices=sorted(REWARDS))
        parser.add_argument("--noise", type=share, default=0.1, metavar="P", help="share of votes turned round")
        parser.add_argument("--side", type=at_least(0), default=0.2, help="spread of left/right habits, log odds")
        parser.add_argument("--pace", type=at_least(0), default=0.0, help="mean seconds to think")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--url", default=settings.PLUMBLINE_URL)

    def handle(self, *args: Any, **options: Any) -> None:
        queue = Queue.objects.filter(slug=options["queue"]).first()
        if queue is None:
            raise CommandError(f"There is no queue {options['queue']}.")
        habits = Habits(**{name: options[name] for name in ("reward", "noise", "side", "pace", "seed")})
        try:
            people = crowd.recruit(queue=queue, count=options["annotators"])
            done = self._work(queue, people, habits, options)
        except (PlumblineError, GaveUp) as wrong:
            raise CommandError(getattr(wrong, "message", str(wrong))) from wrong
        self.stdout.write(sentence(done, queue))

    def _work(self, queue: Queue, people: list[Any], habits: Habits, options: dict[str, Any]) -> Work:
        shown = tqdm(total=options["judgments"], unit="votes", disable=not sys.stderr.isatty(), leave=False)

        def progress(done: int) -> None:
            shown.update(max(0, done - shown.n))

        with shown, at_work(people) as tokens:
            return work(
                url=options["url"],
                tokens=tokens,
                queue=queue.slug,
                habits=habits,
                judgments=options["judgments"],
                progress=progress,
            )


def sentence(done: Work, queue: Queue) -> str:
    choices = ", ".join(f"{count} {choice}" for choice, count in sorted(done.choices.items())) or "none"
    counts = "" if queue.demo else "; they decide nothing here, since this is no demo workspace"
    return (
        f"{done.judgments} simulated judgments ({choices}) by {len(done.by_person)} people in "
        f"{done.seconds:.1f} s; {done.refused} refused, {done.resent} sent again{counts}"
    )
