"""`Authorization: Bearer TOKEN`."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from api import tokens
from api.models import Token
from feedback.models import User


class TokenAuthentication(BaseAuthentication):
    """A token in the header; another scheme, or no header, leaves the request to the session."""

    def authenticate(self, request: HttpRequest) -> tuple[User, Token] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        row = tokens.find(token.strip())
        if row is None:
            raise AuthenticationFailed("This token is unknown, revoked or expired.")
        tokens.touch(row)
        return row.user, row

    def authenticate_header(self, request: HttpRequest) -> str:
        return 'Bearer realm="plumbline"'
