"""What stands beside the loops: the leaderboard, and what a label was worth."""

from __future__ import annotations

from dataclasses import asdict

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers
from api.views.base import ENGINEERS, View
from api.views.loops import one
from feedback.errors import BadInput
from rlhf import leaderboard, worth


class Leaderboard(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="leaderboard_read",
        responses=serializers.BoardOut,
        parameters=[
            OpenApiParameter("kind", enum=list(leaderboard.KINDS), description="Whose votes; they are never mixed."),
            OpenApiParameter("style", enum=["0", "1"], description="1 takes length, headings, lists and bold out."),
        ],
    )
    def get(self, request: Request) -> Response:
        """Policies by people's comparisons on dev prompts, ranks as ranges."""
        kind = request.query_params.get("kind", "human")
        style = request.query_params.get("style", "0")
        if style not in ("0", "1"):
            raise BadInput("style: expected 0 or 1.", where="style")
        found = leaderboard.board(kind=kind, controlled=style == "1")
        return Response(asdict(found))


class Worth(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="loops_worth", responses=serializers.WorthOut)
    def get(self, request: Request, slug: str) -> Response:
        """How much better per human label: a point for every round that was decided."""
        loop = one(slug)
        return Response({"simulated": worth.simulated(loop), "points": [p.as_json() for p in worth.points(loop)]})
