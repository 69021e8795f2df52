"""Pausing a person in a queue, appeals, and what happens to work in doubt.

The test looks at gold, attention items and repeats, never at agreement with others: whoever differs from the
consensus may be right. Paused work stays done and payable; it can be withheld, and given back.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import assigning, events, gold
from .errors import BadInput, Conflict
from .models import Judgment, Membership, Queue, User
from .stats import honesty


def signs(member: Membership) -> list[honesty.Sign]:
    """Right and wrong on known answers, and own answers repeated, since the test last began for this person."""
    rows = Judgment.objects.filter(
        queue=member.queue_id, author=member.user_id, withdrawn_at__isnull=True, assignment__isnull=False
    )
    if member.tested_from is not None:
        rows = rows.filter(created_at__gte=member.tested_from)
    known = rows.filter(purpose="gold", item__status="open").values_list("item__gold", "answer", "queue__kind")
    found = [_gold_sign(kind, answer, given) for answer, given, kind in known]
    return found + [honesty.repeat(same) for same in repeats(member, rows.filter(purpose="repeat"))]


def _gold_sign(kind: str, known: Any, given: dict[str, Any]) -> honesty.Sign:
    right = gold.is_right(kind, known, given)
    return honesty.attention(right) if known.get("attention") else honesty.gold(right)


def repeats(member: Membership, again: QuerySet[Judgment] | None = None) -> list[bool]:
    """For each item the person was asked again, whether they said the same."""
    own = Judgment.objects.filter(queue=member.queue_id, author=member.user_id, withdrawn_at__isnull=True)
    second = own.filter(purpose="repeat") if again is None else again
    later = dict(second.values_list("item_id", "answer"))
    first = dict(own.filter(purpose="label", item__in=later).values_list("item_id", "answer"))
    return [first[item] == answer for item, answer in later.items() if item in first]


def look(*, member: Membership) -> honesty.Finding:
    """Qualify or pause the person where the signs suffice; called after each known answer and repeat."""
    found = signs(member)
    finding = honesty.test(found)
    if member.paused_at is None and not _qualify(member) and finding.pause:
        pause(
            member=member,
            reason=f"{finding.wrong} of {finding.n} checks came out wrong: "
            "items with known answers, and your own answers asked again.",
            by_test=True,
        )
    return finding


def _qualify(member: Membership) -> bool:
    """The qualification, once its last item is answered; True where it ended with a pause."""
    queue = Queue.objects.only("qualify_of", "qualify_right", "kind").get(pk=member.queue_id)
    if not queue.qualify_of or member.qualified_at is not None:
        return False
    rows = Judgment.objects.filter(queue=queue, author=member.user_id, purpose="gold", withdrawn_at__isnull=True)
    if member.tested_from is not None:
        rows = rows.filter(created_at__gte=member.tested_from)
    first: list[Any] = list(rows.order_by("created_at").values_list("item__gold", "answer")[: queue.qualify_of])
    if len(first) < queue.qualify_of:
        return False
    right = sum(gold.is_right(queue.kind, known, given) for known, given in first)
    if right >= queue.qualify_right:
        Membership.objects.filter(pk=member.pk, qualified_at__isnull=True).update(qualified_at=timezone.now())
        events.record("member.qualified", member, after={"right": right, "of": queue.qualify_of})
        return False
    pause(member=member, reason=f"The qualification asks for {queue.qualify_right} right of {queue.qualify_of}; "
          f"{right} were.", by_test=True)  # fmt: skip
    return True


@transaction.atomic
def pause(*, member: Membership, reason: str, actor: User | None = None, by_test: bool = False) -> None:
    """The person gets nothing more here until resumed, and what they hold goes back. They see the reason."""
    if not reason.strip():
        raise BadInput("reason: say why; the person reads it.", where="reason")
    now = timezone.now()
    done = Membership.objects.filter(pk=member.pk, paused_at__isnull=True).update(
        paused_at=now, paused_reason=reason, paused_by_test=by_test, appeal="", appealed_at=None
    )
    if not done:
        raise Conflict("This person is paused already.")
    member.paused_at, member.paused_reason, member.paused_by_test = now, reason, by_test
    assigning.release_all(annotator=member.user, queue=member.queue)
    after = {"user": member.user.username, "reason": reason, "by_test": by_test}
    events.record("member.paused", member.queue, actor=actor, after=after)


@transaction.atomic
def resume(*, member: Membership, actor: User, note: str = "") -> None:
    """Let the person work again; the test begins anew, so that the same mistakes do not pause them at once."""
    now = timezone.now()
    done = Membership.objects.filter(pk=member.pk, paused_at__isnull=False).update(
        paused_at=None, paused_by_test=False, tested_from=now, qualified_at=now
    )
    if not done:
        raise Conflict("This person is not paused.")
    before = {"paused_reason": member.paused_reason, "appeal": member.appeal}
    member.paused_at, member.tested_from = None, now
    after = {"user": member.user.username, "note": note}
    events.record("member.resumed", member.queue, actor=actor, before=before, after=after)


@transaction.atomic
def appeal(*, member: Membership, text: str) -> None:
    """The paused person says why the pause is wrong. Once a pause."""
    if not text.strip() or len(text) > 5000:
        raise BadInput("appeal: say in up to 5,000 characters why.", where="appeal")
    done = Membership.objects.filter(pk=member.pk, paused_at__isnull=False, appealed_at__isnull=True).update(
        appeal=text.strip(), appealed_at=timezone.now()
    )
    if not done:
        raise Conflict("There is no pause to appeal against, or you have appealed already.")
    events.record("member.appealed", member.queue, actor=member.user, after={"user": member.user.username})


@transaction.atomic
def withhold(*, member: Membership, actor: User) -> int:
    """Leave the person's judgments here out of everything that learns, until given back; returns how many."""
    return _withhold(member, actor, True)


@transaction.atomic
def give_back(*, member: Membership, actor: User) -> int:
    """Withheld judgments count again; returns how many."""
    return _withhold(member, actor, False)


def _withhold(member: Membership, actor: User, out: bool) -> int:
    rows = Judgment.objects.filter(
        queue=member.queue_id, author=member.user_id, withdrawn_at__isnull=True, withheld_at__isnull=out
    )
    done = rows.update(withheld_at=timezone.now() if out else None, gathered_at=None)
    if done:
        after = {"user": member.user.username, "judgments": done}
        events.record("member.withheld" if out else "member.given_back", member.queue, actor=actor, after=after)
    return done
