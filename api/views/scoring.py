"""Scores on demand: texts in, what a reward model thinks of them out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View
from feedback.errors import BadInput, NotFound
from rlhf import serving
from rlhf.models import RewardModel


class Score(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="reward_models_score", request=serializers.ScoreIn, responses=serializers.ScoresOut)
    def post(self, request: Request, id: str) -> Response:
        """Rewards of up to 1,000 answers: mean and standard deviation over the ensemble.

        503 with `Retry-After` while the model is being loaded.
        """
        model = RewardModel.objects.filter(slug=id).first()
        if model is None:
            raise NotFound(f"There is no reward model {id!r}.")
        items = wire.many(wire.one(request.data).get("items"))
        body = serializers.ScoreIn(data={"items": items})
        body.is_valid(raise_exception=True)
        checked: list[dict[str, Any]] = body.validated_data["items"]
        for i, item in enumerate(checked):
            if item["messages"][-1]["role"] != "user":
                raise BadInput(f"items[{i}].messages: must end with a user's turn.", where=f"items[{i}].messages")
        if not checked:
            return Response({"scores": []})
        with serving.ensure(reward_model=model) as client:
            return Response({"scores": client.score(checked)})
