"""People in the console: those of a queue and those of the workspace, their links, their leaving, their money."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from .. import accounts, judging, money, pausing, people, queues, review
from ..console_forms import MemberForm
from ..errors import BadInput, NotAllowed, NotFound, PlumblineError
from ..models import ROLES, Judgment, Membership, Queue, User
from .access import person, signed_in
from .console import frame, queue_to

KIND_WORDS = {"human": "People", "model": "Model judges", "simulated": "Simulated"}


@require_GET
@signed_in
def index(request: HttpRequest, slug: str) -> HttpResponse:
    """The members with their figures, each kind by itself."""
    user = person(request)
    queue = queue_to("manage", slug, user)
    kinds = [k for k in KIND_WORDS if queue.memberships.filter(kind=k).exists()]
    context = {
        **frame(queue, user, "people"),
        "kinds": [(KIND_WORDS[kind], people.figures(queue=queue, kind=kind)) for kind in kinds],
        "form": MemberForm(),
        "groups": Group.objects.order_by("name"),
        "link": request.session.pop("link", None),
    }
    return render(request, "feedback/console/people.html", context)


@require_POST
@signed_in
def act(request: HttpRequest, slug: str) -> HttpResponse:
    """One thing done to a member, or somebody let in."""
    user = person(request)
    queue = queue_to("manage", slug, user)
    action = request.POST.get("action", "")
    try:
        if action not in ACTIONS:
            raise BadInput("action: choose what to do.", where="action")
        messages.success(request, ACTIONS[action](request, queue, user))
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    return redirect("feedback:console-people", slug)


def _member(request: HttpRequest, queue: Queue) -> Membership:
    name = request.POST.get("username", "")
    found = Membership.objects.filter(queue=queue, user__username=name).select_related("user", "queue").first()
    if found is None:
        raise NotFound("There is no such member.")
    return found


def _admit(request: HttpRequest, queue: Queue, user: User) -> str:
    named = User.objects.filter(username=request.POST.get("username", ""), is_active=True).first()
    if named is None:
        raise NotFound("username: there is nobody of this name.", where="username")
    role, kind = request.POST.get("role", "annotator"), request.POST.get("kind") or "human"
    queues.admit(queue=queue, user=named, role=role, kind=kind, actor=user)
    return f"{named.username} is {role} here."


def _admit_group(request: HttpRequest, queue: Queue, user: User) -> str:
    group = Group.objects.filter(pk=request.POST.get("group") or 0).first()
    if group is None:
        raise NotFound("group: there is no such group.", where="group")
    found = list(User.objects.filter(groups=group, is_active=True))
    new = sum(queues.admit(queue=queue, user=one, actor=user)[1] for one in found)
    return f"{new} of {len(found)} people of {group.name} are new here."


def _invite(request: HttpRequest, queue: Queue, user: User) -> str:
    role = request.POST.get("role", "annotator")
    _, word = accounts.invite(queue=queue, queue_role=role, group=request.POST.get("group", ""), actor=user)
    request.session["link"] = request.build_absolute_uri(reverse("feedback:join", args=[word]))
    return "The link works once, for seven days. It is shown only now."


def _pause(request: HttpRequest, queue: Queue, user: User) -> str:
    member = _member(request, queue)
    pausing.pause(member=member, reason=request.POST.get("reason", ""), actor=user)
    return f"{member.user.username} is paused."


def _resume(request: HttpRequest, queue: Queue, user: User) -> str:
    member = _member(request, queue)
    pausing.resume(member=member, actor=user)
    return f"{member.user.username} may work again."


def _withhold(request: HttpRequest, queue: Queue, user: User) -> str:
    done = pausing.withhold(member=_member(request, queue), actor=user)
    return f"{done} judgments withheld: they teach nothing until given back. They stay done and payable."


def _give_back(request: HttpRequest, queue: Queue, user: User) -> str:
    return f"{pausing.give_back(member=_member(request, queue), actor=user)} judgments count again."


def _remove(request: HttpRequest, queue: Queue, user: User) -> str:
    member = _member(request, queue)
    queues.dismiss(member=member, actor=user)
    return f"{member.user.username} is no longer a member. What they judged stays."


ACTIONS: dict[str, Any] = {
    "admit": _admit, "admit-group": _admit_group, "invite": _invite, "pause": _pause, "resume": _resume,
    "withhold": _withhold, "give-back": _give_back, "remove": _remove,
}  # fmt: skip


# --- the whole workspace -------------------------------------------------------------------------------
def admins(request: HttpRequest) -> User:
    user = person(request)
    if not user.is_admin:
        raise NotAllowed("This is for admins.")
    return user


@require_GET
@signed_in
def everybody(request: HttpRequest) -> HttpResponse:
    admins(request)
    rows = User.objects.prefetch_related("groups", "memberships__queue").order_by("-is_active", "username")
    context = {"people": rows, "roles": ROLES, "queues": Queue.objects.exclude(status="archived").order_by("title"),
               "link": request.session.pop("link", None)}  # fmt: skip
    return render(request, "feedback/console/everybody.html", context)


@require_POST
@signed_in
def invite(request: HttpRequest) -> HttpResponse:
    user = admins(request)
    queue = Queue.objects.filter(slug=request.POST.get("queue") or "-").first()
    try:
        _, word = accounts.invite(
            role=request.POST.get("role", ""), queue=queue, group=request.POST.get("group", ""), actor=user
        )
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
    else:
        request.session["link"] = request.build_absolute_uri(reverse("feedback:join", args=[word]))
        messages.success(request, "The link works once, for seven days. It is shown only now.")
    return redirect("feedback:console-everybody")


@require_GET
@signed_in
def profile(request: HttpRequest, username: str) -> HttpResponse:
    """One person: what is known of them, where they work, and what withdrawal or erasure would touch."""
    admins(request)
    who = get_object_or_404(User.objects.prefetch_related("groups"), username=username)
    standing = Judgment.objects.filter(author=who, withdrawn_at__isnull=True)
    context = {
        "who": who,
        "memberships": who.memberships.select_related("queue").order_by("queue__title"),
        "judgments": standing.count(),
        "withdrawn": Judgment.objects.filter(author=who, withdrawn_at__isnull=False).count(),
        "link": request.session.pop("link", None),
    }
    return render(request, "feedback/console/profile.html", context)


@require_POST
@signed_in
def change(request: HttpRequest, username: str) -> HttpResponse:
    user = admins(request)
    who = get_object_or_404(User, username=username)
    try:
        words, name = _change(request, who, user)
    except PlumblineError as wrong:
        messages.error(request, wrong.message)
        return redirect("feedback:console-profile", username)
    messages.success(request, words)
    return redirect("feedback:console-profile", name)


def _change(request: HttpRequest, who: User, user: User) -> tuple[str, str]:
    """(what was done, the person's name now)."""
    action, post = request.POST.get("action", ""), request.POST
    if action == "describe":
        price = post.get("price_hour", "").strip()
        languages, skills = (_words(post.get(name, "")) for name in ("languages", "skills"))
        accounts.describe(
            user=who, actor=user, price_hour=accounts.amount(price), languages=languages, skills=skills
        )
        return "Changed.", who.username
    if action == "group":
        return f"In {accounts.put_in_group(user=who, name=post.get('group', ''), actor=user).name}.", who.username
    if action == "reset":
        _, word = accounts.invite_reset(user=who, actor=user)
        request.session["link"] = request.build_absolute_uri(reverse("feedback:join", args=[word]))
        return "The link works once, for a day. It is shown only now.", who.username
    if action == "withdraw":
        return _withdraw(who, post.get("reason", ""), post.get("again") == "1", user), who.username
    if action == "erase":
        if post.get("sure") != who.username:
            raise BadInput("sure: write the person's name to confirm.", where="sure")
        return "Erased: only the pseudonym is left.", accounts.erase(user=who, actor=user)
    raise BadInput("action: choose what to do.", where="action")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _withdraw(who: User, reason: str, again: bool, user: User) -> str:
    """Take everything the person said out of everything; where wanted, ask somebody else."""
    if not reason.strip():
        raise BadInput("reason: say why; it is stored with the judgments.", where="reason")
    done = judging.withdraw_rows(Judgment.objects.filter(author=who), reason=reason, actor=user)
    places = Queue.objects.filter(judgments__author=who).distinct()
    freed = sum(review.ask_again(queue=queue, actor=user) for queue in places) if again else 0
    return f"{done} judgments withdrawn; {freed} seats are free for somebody else. Preferences are counted again."


# --- money ---------------------------------------------------------------------------------------------
@require_GET
@signed_in
def costs(request: HttpRequest, slug: str) -> HttpResponse:
    user = person(request)
    queue = queue_to("manage", slug, user)
    context = {**frame(queue, user, "money"), **money.summary(queues=[queue])}
    return render(request, "feedback/console/money.html", context)


@require_GET
@signed_in
def costs_csv(request: HttpRequest) -> HttpResponse:
    """The bill of one queue (`?queue=`), or of all that this person manages."""
    user = person(request)
    slug = request.GET.get("queue", "")
    if slug:
        rows = [queue_to("manage", slug, user)]
    else:
        managed = Queue.objects.filter(memberships__user=user, memberships__role="manager")
        rows = list(Queue.objects.all() if user.is_admin else managed)
        if not rows:
            raise NotAllowed("Costs are for those who manage a queue.")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug or "all"}-time.csv"'
    money.write_csv(queues=rows, to=response)  # type: ignore[arg-type]
    return response
