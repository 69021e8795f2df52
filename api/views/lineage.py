"""Lineage: from a judgment to what learnt from it, and back."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers
from api.views.base import ENGINEERS, View
from feedback.errors import BadInput
from rlhf import lineage

LIMIT = OpenApiParameter(
    "limit", OpenApiTypes.INT, description="Judgments named a dataset or decision, 100 unless told, at most 10,000."
)


class Lineage(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="lineage", parameters=[LIMIT], responses=serializers.LineageOut)
    def get(self, request: Request, type: str, id: str) -> Response:
        """Everything above and below it; edges go from cause to effect."""
        graph = lineage.around(lineage.node(type, id), limit(request))
        return Response(
            {
                "nodes": [lineage.describe(node) for node in graph.nodes],
                "edges": [[start.id, end.id] for start, end in graph.edges],
                "more": [{"type": n.type, "id": n.id, "judgments": count} for n, count in graph.more.items()],
            }
        )


def limit(request: Request) -> int:
    given = request.query_params.get("limit", str(lineage.SHOWN))
    if not given.isdecimal() or not 1 <= int(given) <= 10_000:
        raise BadInput("limit: expected a whole number from 1 to 10000.", where="limit")
    return int(given)
