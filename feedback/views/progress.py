"""How far a person has come, counted from rows when a page is drawn."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from ..models import Assignment, Item, Judgment, Queue, Seat, User

COUNTED = 1000  # more than this is "1000+": nobody plans by the exact figure, and counting costs time


def today(user: User, queue: Queue | None = None) -> int:
    """Judgments made since midnight that stand."""
    start = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    made = Judgment.objects.filter(author=user, created_at__gte=start, withdrawn_at__isnull=True)
    return (made.filter(queue=queue) if queue else made).count()


def left(user: User, queue: Queue) -> int:
    """Items this person can still judge here, those on the screen included; COUNTED + 1 stands for more."""
    if queue.status != "open":
        return 0
    had = Assignment.objects.filter(item=OuterRef("pk"), annotator=user).exclude(status__in=("expired", "released"))
    free = Seat.objects.filter(item=OuterRef("pk"), status="free")
    items = Item.objects.filter(Exists(free), ~Exists(had), queue=queue, status="open")
    held = Assignment.objects.filter(queue=queue, annotator=user, status="leased").count()
    return held + items.order_by()[: COUNTED + 1].count()


def line(user: User, queue: Queue) -> str:
    """One line for the head of the page: "12 today · 38 left in this queue for you"."""
    rest = left(user, queue)
    words = f"{COUNTED}+" if rest > COUNTED else str(rest)
    return f"{today(user, queue)} today · {words} left in this queue for you"


def own_queues(user: User) -> list[dict[str, Any]]:
    """The person's queues, open ones first, with what is done and left for them."""
    done = dict(
        Judgment.objects.filter(author=user, withdrawn_at__isnull=True).values_list("queue").annotate(n=Count("pk"))
    )
    queues = Queue.objects.filter(memberships__user=user).exclude(status="draft").order_by("title")
    rows = [_row(queue, done.get(queue.pk, 0), left(user, queue)) for queue in queues]
    return sorted(rows, key=lambda row: (row["queue"].status != "open", not row["left"]))


def _row(queue: Queue, done: int, rest: int) -> dict[str, Any]:
    return {
        "queue": queue,
        "done": done,
        "left": rest,
        "left_words": f"{COUNTED}+" if rest > COUNTED else str(rest),
        "total": done + rest,
    }


def last_queue(user: User) -> Queue | None:
    """Where the person judged last."""
    made = Judgment.objects.filter(author=user, assignment__isnull=False).select_related("queue")
    found = made.order_by("-created_at").first()
    return found.queue if found else None
