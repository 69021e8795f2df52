"""Runs for a machine with neither database nor broker: pull one, read its inputs, report, put its output, conclude."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.http import FileResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View
from api.views.runs import one, show
from feedback.errors import BadInput
from rlhf import remote, run_dirs

CHUNK = 2**20
ATTEMPT = OpenApiParameter("attempt", OpenApiTypes.INT, required=True, description="As it was pulled.")
SHA = OpenApiParameter("sha256", OpenApiTypes.STR, required=True, description="Of the bytes sent.")


class Puller(View):
    roles = {"*": ENGINEERS}
    scope = "pull"


class Pull(Puller):
    @extend_schema(
        operation_id="runs_pull",
        request=serializers.PullIn,
        responses={200: serializers.PullOut, 204: OpenApiResponse(description="Nothing waits.")},
    )
    def post(self, request: Request) -> Response:
        """Take the oldest run that waits in a queue; it is yours until it ends or you fall silent for two minutes."""
        data = valid(serializers.PullIn, request)
        run = remote.pull(queue=data["queue"], worker=data["worker"])
        if run is None:
            return Response(status=204)
        return Response(
            {"run": str(run.pk), "attempt": run.attempt, "spec": run_dirs.spec_of(run), "files": remote.files(run)}
        )


class Input(Puller):
    @extend_schema(
        operation_id="runs_input",
        parameters=[ATTEMPT],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, id: uuid.UUID, name: str) -> HttpResponseBase:
        """One file of what the run reads."""
        run = remote.held(run_id=id, attempt=attempt_of(request))
        return FileResponse(remote.input_file(run, name).open("rb"), content_type="application/octet-stream")


class Output(Puller):
    @extend_schema(
        operation_id="runs_output",
        parameters=[ATTEMPT, SHA],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={204: None},
    )
    def put(self, request: Request, id: uuid.UUID, name: str) -> Response:
        """One file of what the run made, of any size."""
        run = remote.held(run_id=id, attempt=attempt_of(request))
        sha256 = request.query_params.get("sha256", "")
        remote.receive(run, name=name, sha256=sha256, chunks=chunks(request))
        return Response(status=204)


class Report(Puller):
    @extend_schema(operation_id="runs_report", request=serializers.ReportIn, responses=serializers.ReportOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """New progress lines, the end of the log, and a sign of life. 409 when the run is no longer yours."""
        data = valid(serializers.ReportIn, request)
        run = remote.held(run_id=id, attempt=data.pop("attempt"))
        return Response({"stop": remote.report(run, **data)})


class Conclude(Puller):
    @extend_schema(operation_id="runs_conclude", request=serializers.ConcludeIn, responses=serializers.RunOut)
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """How the engine ended. With code 0 every file of the output has been put."""
        data = valid(serializers.ConcludeIn, request)
        remote.conclude(run_id=id, **data)
        return Response(show(one(id)))


def valid(shape: Any, request: Request) -> dict[str, Any]:
    body = shape(data=wire.one(request.data))
    body.is_valid(raise_exception=True)
    data: dict[str, Any] = body.validated_data
    return data


def attempt_of(request: Request) -> int:
    value = request.query_params.get("attempt", "")
    if not value.isascii() or not value.isdecimal() or len(value) > 9:
        raise BadInput("attempt: expected a whole number.", where="attempt")
    return int(value)


def chunks(request: Request) -> Iterator[bytes]:
    """The body as it comes: it may be larger than what is taken in one piece elsewhere."""
    stream = request._request
    while chunk := stream.read(CHUNK):
        yield chunk
