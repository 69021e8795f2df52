"""People: making their accounts, letting them in by one-time links, and taking them out again."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db import IntegrityError, transaction
from django.utils import timezone

from . import assigning, events, queues
from .errors import BadInput, Conflict, NotFound
from .models import ROLES, Invitation, Judgment, Membership, Queue, User

NAME_LENGTH = 150
JOIN_DAYS, RESET_DAYS = 7, 1
SIGNER = Signer(salt="plumbline.invitation")
SETTABLE = ("languages", "skills", "price_hour")


def create_user(*, username: str, role: str, password: str = "", actor: User | None = None) -> tuple[User, str]:
    """A new person and their password (random where none is given).

    Raises BadInput for a name or role that cannot be, Conflict for a name that is taken.
    """
    if role not in ROLES:
        raise BadInput(f"role: {role!r} is none of {', '.join(ROLES)}.", where="role")
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError:
        raise BadInput("username: letters, digits and @ . + - _ only.", where="username")
    if len(username) > NAME_LENGTH:
        raise BadInput(f"username: {NAME_LENGTH} characters at most.", where="username")
    password = password or secrets.token_urlsafe(12)
    try:
        with transaction.atomic():
            staff = role == "admin"
            user = User.objects.create_user(username, password=password, role=role, is_staff=staff, is_superuser=staff)
            events.record("user.created", user, actor=actor, after={"role": role})
    except IntegrityError:
        raise Conflict(f"There is somebody named {username} already.")
    return user, password


@transaction.atomic
def describe(*, user: User, actor: User | None = None, **fields: Any) -> User:
    """Change what is known of a person: languages, skills, price an hour."""
    before = {name: _plain(getattr(user, name)) for name in SETTABLE}
    for name, value in fields.items():
        if name not in SETTABLE:
            raise BadInput(f"{name}: not a thing that is set here.", where=name)
        if name != "price_hour" and not (isinstance(value, list) and all(isinstance(v, str) and v for v in value)):
            raise BadInput(f"{name}: expected a list of words.", where=name)
        setattr(user, name, value)
    user.save(update_fields=list(fields))
    after = {name: _plain(getattr(user, name)) for name in SETTABLE}
    if after != before:
        events.record("user.changed", user, actor=actor, before=before, after=after)
    return user


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else str(value)


def amount(text: str) -> Decimal | None:
    """A price as somebody wrote it; None where nothing stands there. Raises BadInput."""
    if not text:
        return None
    try:
        value = Decimal(text).quantize(Decimal("0.01"))
    except InvalidOperation:
        raise BadInput("price_hour: expected an amount such as 18.50.", where="price_hour")
    if not 0 <= value < 100_000:
        raise BadInput("price_hour: expected an amount from 0 to 99,999.", where="price_hour")
    return value


@transaction.atomic
def put_in_group(*, user: User, name: str, actor: User | None = None) -> Group:
    """Make the person one of a group of this name, made where it is missing."""
    if not name.strip() or len(name) > NAME_LENGTH:
        raise BadInput("group: a name of up to 150 characters.", where="group")
    group, _ = Group.objects.get_or_create(name=name.strip())
    if not user.groups.filter(pk=group.pk).exists():
        user.groups.add(group)
        events.record("user.grouped", user, actor=actor, after={"group": group.name})
    return group


# --- one-time links ------------------------------------------------------------------------------------
def invite(
    *, role: str = "annotator", queue: Queue | None = None, queue_role: str = "annotator", group: str = "", actor: User
) -> tuple[Invitation, str]:
    """A link by which one new person makes their account; returns the row and the word for the link, shown once."""
    if role not in ROLES:
        raise BadInput(f"role: {role!r} is none of {', '.join(ROLES)}.", where="role")
    if queue_role not in Membership.ROLES:
        raise BadInput(f"queue_role: {queue_role!r} is none of {', '.join(Membership.ROLES)}.", where="queue_role")
    found = Group.objects.get_or_create(name=group.strip()[:NAME_LENGTH])[0] if group.strip() else None
    return _link("join", JOIN_DAYS, actor, role=role, queue=queue, queue_role=queue_role, group=found)


def invite_reset(*, user: User, actor: User) -> tuple[Invitation, str]:
    """A link by which this person chooses a new password."""
    return _link("reset", RESET_DAYS, actor, user=user, role=user.role)


@transaction.atomic
def _link(kind: str, days: int, actor: User, **fields: Any) -> tuple[Invitation, str]:
    secret = secrets.token_urlsafe(24)
    row = Invitation.objects.create(
        kind=kind, digest=_digest(secret), created_by=actor, expires_at=timezone.now() + timedelta(days=days), **fields
    )
    about = fields["user"].username if "user" in fields else fields["role"]
    events.record(f"invitation.{kind}", row, actor=actor, after={"for": about})
    return row, SIGNER.sign(secret)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def open_link(word: str) -> Invitation:
    """The invitation that a link's word stands for. NotFound where it is forged, used, or too old."""
    try:
        secret = SIGNER.unsign(word)
    except BadSignature:
        raise NotFound("This link is not one of ours.")
    found = Invitation.objects.select_related("user", "queue", "group").filter(digest=_digest(secret)).first()
    if found is None or found.used_at is not None or found.expires_at <= timezone.now():
        raise NotFound("This link has been used or is too old. Ask whoever sent it for another.")
    return found


@transaction.atomic
def accept(*, word: str, password: str, username: str = "", consent: bool = False) -> User:
    """Use a link, once: a new account with its memberships, or a new password. Raises BadInput, Conflict, NotFound."""
    invitation = open_link(word)
    if invitation.kind == "join" and not consent:
        raise BadInput("consent: the terms need your consent before you can join.", where="consent")
    _check_password(password, invitation.user or User(username=username))
    if not Invitation.objects.filter(pk=invitation.pk, used_at__isnull=True).update(used_at=timezone.now()):
        raise NotFound("This link has just been used.")
    if invitation.kind == "reset":
        assert invitation.user is not None
        invitation.user.set_password(password)
        invitation.user.save(update_fields=["password"])
        events.record("user.password_reset", invitation.user, actor=invitation.user)
        return invitation.user
    user, _ = create_user(username=username, role=invitation.role, password=password, actor=invitation.created_by)
    user.consent_version, user.consent_at = settings.PLUMBLINE_CONSENT_VERSION, timezone.now()
    user.save(update_fields=["consent_version", "consent_at"])
    Invitation.objects.filter(pk=invitation.pk).update(user=user)
    if invitation.queue is not None:
        queues.admit(queue=invitation.queue, user=user, role=invitation.queue_role, actor=invitation.created_by)
    if invitation.group is not None:
        user.groups.add(invitation.group)
    events.record("user.joined", user, actor=user, after={"consent": user.consent_version})
    return user


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as weak:
        raise BadInput(f"password: {' '.join(weak.messages)}", where="password")


# --- leaving -------------------------------------------------------------------------------------------
@transaction.atomic
def erase(*, user: User, actor: User | None = None) -> str:
    """Pseudonymise a person: name, mail and sign-in go; what they judged stays under the pseudonym, returned.

    To take the judgments out as well, withdraw them first.
    """
    if user.erased_at is not None:
        raise Conflict("This person has been erased already.")
    name, old = f"erased-{secrets.token_hex(6)}", user.username
    assigning.release_all(annotator=user)
    Membership.objects.filter(user=user).delete()
    user.groups.clear()
    user.username, user.first_name, user.last_name, user.email = name, "", "", ""
    user.is_active, user.is_staff, user.is_superuser, user.erased_at = False, False, False, timezone.now()
    user.languages, user.skills = [], []
    user.set_unusable_password()
    user.save()
    _forget(old, name)
    events.record("user.erased", user, actor=actor, after={"judgments": Judgment.objects.filter(author=user).count()})
    return name


def _forget(old: str, new: str) -> None:
    """The name in the audit trail becomes the pseudonym too."""
    from .models import Event

    Event.objects.filter(object_type="user", object_id=old).update(object_id=new)
    for event in Event.objects.filter(after__user=old):
        event.after["user"] = new  # type: ignore[index]
        event.save(update_fields=["after"])
