"""One process that does anything to a queue, at random, with the real verbs; or the check of what came of it.

python -m tests.feedback.chaos work SLUG NAME SEED SECONDS      an annotator, now and then an admin
python -m tests.feedback.chaos check SLUG                       raises where the queue is not sound
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import suppress


def work(slug: str, name: str, seed: int, seconds: float) -> int:
    """Verbs tried until the time is over; those that were refused or lost a race count too."""
    from django.db import IntegrityError, OperationalError

    from feedback import aggregation, assigning, judging, pausing, review
    from feedback.errors import PlumblineError
    from feedback.models import Assignment, Item, Judgment, Membership, Queue, User

    rng, queue, me = random.Random(seed), Queue.objects.get(slug=slug), User.objects.get(username=name)
    boss = User.objects.get(username="ada")

    def mine() -> Assignment:
        return Assignment.objects.filter(queue=queue, annotator=me).order_by("-leased_at")[rng.randrange(2)]

    def member() -> Membership:
        return Membership.objects.select_related("user", "queue").get(queue=queue, user=me)

    verbs = {
        "claim": (8, lambda: assigning.claim(queue=queue, annotator=me, ahead=rng.random() < 0.3)),
        "judge": (8, lambda: judging.judge(assignment_id=mine().pk, annotator=me,
                                           body={"choice": rng.choice(["A", "B", "tie"])})),
        "skip": (2, lambda: assigning.skip(assignment_id=mine().pk, annotator=me)),
        "undo": (2, lambda: judging.undo(judgment_id=judging.recent(annotator=me)[0].pk, annotator=me)),
        "release": (1, lambda: assigning.release_all(annotator=me)),
        "expire": (1, lambda: assigning.release_expired(queue=queue)),
        "overlap": (1, lambda: assigning.raise_overlap(item=Item.objects.filter(queue=queue)[rng.randrange(9)], to=3)),
        "pause": (1, lambda: pausing.pause(member=member(), reason="Chaos.", actor=boss)),
        "resume": (3, lambda: pausing.resume(member=member(), actor=boss)),
        "withdraw": (0.2, lambda: judging.withdraw_rows(Judgment.objects.filter(author=me), reason="x", actor=boss)),
        "again": (0.5, lambda: review.ask_again(queue=queue)),
        "gather": (1, lambda: aggregation.gather()),
    }  # fmt: skip
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        name = rng.choices(list(verbs), [weight for weight, _ in verbs.values()])[0]
        with suppress(PlumblineError, IndexError, IntegrityError, OperationalError):
            verbs[name][1]()
        done += 1
    return done


def check(slug: str) -> None:
    from feedback import aggregation
    from feedback.models import Queue
    from tests.feedback.test_assigning_interleaved import check_sound

    queue = Queue.objects.get(slug=slug)
    check_sound(queue)
    aggregation.gather()
    problems = aggregation.check_derived()
    assert not problems, problems


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    if sys.argv[1] == "work":
        print(work(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
    else:
        check(sys.argv[2])
