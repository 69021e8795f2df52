"""People: making their accounts."""

from __future__ import annotations

import secrets

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from . import events
from .errors import BadInput, Conflict
from .models import ROLES, User

NAME_LENGTH = 150


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
