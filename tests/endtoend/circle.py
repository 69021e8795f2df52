"""A whole turn of the toy loop to kill: simulated people who come back, and what must hold once it has closed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.endtoend.site import ROOT, Site

SEED = """
from rlhf import demo_workspace, loops, runs
from rlhf.models import Loop, Run
demo_workspace.seed()
loops.set_active(loop=Loop.objects.get(slug="demo"), active=False)
for run in Run.objects.filter(kind="convert", status="queued"):
    runs.cancel(run=run)
answer = True
"""
PEOPLE = """
import django
django.setup()
from api import demo_crowd
demo_crowd.close_round(plan=demo_crowd.PLANS[0], url={url!r}, say=print)
"""
STATE = """
from rlhf.models import Round
r = Round.objects.filter(loop__slug="quick").order_by("number").first()
answer = [r.status, r.explain] if r else ["none", ""]
"""
FACTS = """
from django.db.models import Count
from feedback.models import Assignment, Event, Judgment
from rlhf.models import Decision, Round, Run, RunMetric
r = Round.objects.filter(loop__slug="quick").order_by("number").first()
used = [f for f in ("reward_run", "sample_run", "score_run", "train_run", "answer_run", "live_answer_run", "next_run",
                    "next_score_run") if getattr(r, f)]
runs = [getattr(r, f) for f in used]
answer = {
    "steps": list(r.steps.order_by("id").values_list("name", flat=True)),
    "open_steps": r.steps.filter(ended_at__isnull=True).count(),
    "decisions": Decision.objects.count(),
    "runs": {f: x.status for f, x in zip(used, runs)},
    "attempts": sum(x.attempt for x in runs),
    "finished": {f: Event.objects.filter(verb="run.finished", object_id=str(x.pk)).count() for f, x in zip(used, runs)},
    "kinds": sorted(Run.objects.filter(status="done").values_list("kind", flat=True)),
    "loss": sorted(RunMetric.objects.filter(run=r.train_run, name="loss").values_list("step", flat=True)),
    "total": r.train_run.config["max_steps"],
    "judgments": Judgment.objects.count(),
    "twice": Judgment.objects.values("assignment").annotate(n=Count("pk")).filter(n__gt=1).count(),
    "over": Assignment.objects.filter(status__in=("leased", "judged")).values("seat").annotate(n=Count("pk"))
        .filter(n__gt=1).count(),
}
"""


class People(threading.Thread):
    """The simulated people of the toy loop, started again whenever they are lost, until the round is closed."""

    def __init__(self, site: Site, log: Path) -> None:
        super().__init__(daemon=True)
        self.site, self.log, self.done = site, log, threading.Event()

    def run(self) -> None:
        command = [sys.executable, "-c", PEOPLE.format(url=self.site.url)]
        while not self.done.is_set():
            with self.log.open("ab") as output:
                crowd = subprocess.Popen(command, cwd=ROOT, env=self.site.environment, stdout=output, stderr=output)
                while crowd.poll() is None and not self.done.wait(0.5):
                    pass
                if crowd.poll() is None:
                    crowd.kill()
                    crowd.wait()
            if crowd.returncode == 0:
                return
            self.done.wait(3)


def state(site: Site) -> list[str]:
    """[status, explanation] of the toy loop's first round."""
    found: list[str] = site.ask(STATE)
    return found


def judged(site: Site) -> int:
    """How many judgments there are."""
    count: int = site.ask("from feedback.models import Judgment\nanswer = Judgment.objects.count()")
    return count


def check(site: Site) -> dict[str, Any]:
    """Every step once, every run done and finished once, every training step counted once, no seat judged twice."""
    facts: dict[str, Any] = site.ask(FACTS)
    assert len(facts["steps"]) == len(set(facts["steps"])) == 9 and facts["open_steps"] == 0, facts
    assert set(facts["runs"].values()) == {"done"} and set(facts["finished"].values()) == {1}, facts
    assert facts["loss"] == list(range(1, facts["total"] + 1)), facts
    assert (facts["decisions"], facts["twice"], facts["over"]) == (1, 0, 0), facts
    return facts
