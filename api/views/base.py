"""What every view of the API shares: JSON, signing in, and which role may call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from api import paging, serializers, wire
from feedback.errors import NotAllowed, NotFound
from feedback.models import User

EVERYONE = ("annotator", "reviewer", "engineer", "admin")
ENGINEERS = ("engineer", "admin")
ADMINS = ("admin",)
PAGING = [
    OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next` or `previous`."),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": 1000},
        description="Rows a page, 100 unless told, at most 1,000.",
    ),
]


class View(APIView):
    """`roles` says who may call which method; "*" stands for the methods not named."""

    renderer_classes = [wire.OrjsonRenderer]
    parser_classes = [wire.OrjsonParser]
    content_negotiation_class = wire.JsonOnly
    roles: ClassVar[dict[str, tuple[str, ...]]] = {"*": EVERYONE}
    scope: ClassVar[str] = ""  # tokens of this scope may call it too

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        allowed = self.roles.get(request.method or "", self.roles.get("*", EVERYONE))
        if person(request).role not in allowed:
            raise NotAllowed(f"This needs the role {' or '.join(allowed)}.")
        scope = getattr(request.auth, "scope", "")
        if scope and scope != self.scope:
            raise NotAllowed(f"This token is for the scope {scope} alone.")


def person(request: Request) -> User:
    """Who is calling; the permission classes have seen to it that somebody is."""
    user = request.user
    assert isinstance(user, User)
    return user


def paged(view: APIView, rows: QuerySet[Any], show: Callable[[Any], dict[str, Any]]) -> Response:
    """One page of a list, newest first."""
    pages = paging.NewestFirst()
    page = pages.paginate_queryset(rows, view.request, view=view) or []
    return pages.get_paginated_response([show(row) for row in page])


def listing(operation_id: str, shape: type[Serializer[Any]]) -> Callable[[Any], Any]:
    """Documents a paged list."""
    return extend_schema(operation_id=operation_id, parameters=PAGING, responses=serializers.page_of(shape))


class NothingHere(View):
    """Any address under /api/v1/ that we do not have."""

    schema = None
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        hint = "" if request.path.endswith("/") else " Addresses end in a slash."
        raise NotFound(f"There is nothing at {request.path}.{hint}")
