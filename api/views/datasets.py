"""Reward datasets: ordering them, and fetching their files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
from django.db import connection
from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Queue
from rlhf import artifacts, reward_datasets
from rlhf.freezing import exports, rows
from rlhf.models import RewardDataset

FILES = (*(f"{name}.parquet" for name in rows.FILES), "judgments.txt", "manifest.json", "README.md")
FORMAT = OpenApiParameter("format", OpenApiTypes.STR, enum=["jsonl"], description="The rows as JSON lines.")
FILE = {(200, kind): OpenApiTypes.BINARY for kind in ("application/octet-stream", "application/x-ndjson")}


class Datasets(View):
    roles = {"*": ENGINEERS}

    @listing("datasets_list", serializers.DatasetRow)
    def get(self, request: Request) -> Response:
        """The datasets, newest first."""
        return paged(self, RewardDataset.objects.all(), show_row)

    @extend_schema(
        operation_id="datasets_create", request=serializers.DatasetIn, responses={202: serializers.DatasetOut}
    )
    def post(self, request: Request) -> Response:
        """Freeze the preferences of some queues; a worker builds the files."""
        body = serializers.DatasetIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        dataset = reward_datasets.order(
            name=body.validated_data["name"],
            queues=named_queues(body.validated_data["queues"]),
            recipe=body.validated_data["recipe"],
            actor=person(request),
        )
        return Response(show(dataset), status=202)


class OneDataset(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="datasets_read", responses=serializers.DatasetOut)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """How far it is; once ready also its digest, counts, manifest and files."""
        return Response(show(one(RewardDataset.objects.filter(pk=id), str(id))))


class File(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="datasets_file",
        parameters=[FORMAT],
        responses={**FILE, 200: OpenApiResponse(OpenApiTypes.BINARY, description="The file.")},
    )
    def get(self, request: Request, id: uuid.UUID, name: str) -> HttpResponseBase:
        """One file of a ready dataset, as parquet or (`?format=jsonl`) as JSON lines."""
        path = file_path(one(RewardDataset.objects.filter(pk=id), str(id)), name)
        wanted = request.query_params.get("format", "")
        if wanted not in ("", "jsonl"):
            raise BadInput(f"format: {wanted!r} is not jsonl.", where="format")
        if wanted == "jsonl" and path.suffix == ".parquet":
            return stream(path)
        return FileResponse(path.open("rb"), as_attachment=True, filename=name)


class Export(View):
    roles = {"*": ENGINEERS}

    @extend_schema(
        operation_id="datasets_export",
        parameters=[
            OpenApiParameter("format", OpenApiTypes.STR, enum=list(exports.SHAPES), description="trl unless told."),
            OpenApiParameter("as", OpenApiTypes.STR, enum=["jsonl", "csv"], description="jsonl unless told."),
            OpenApiParameter("split", OpenApiTypes.STR, enum=["train", "test"], description="train unless told."),
        ],
        responses={**FILE, 200: OpenApiResponse(OpenApiTypes.BINARY, description="The rows.")},
    )
    def get(self, request: Request, id: uuid.UUID) -> HttpResponseBase:
        """The rows of a ready dataset in a trainer's shape, streamed: the first arrives at once."""
        folder = file_path(one(RewardDataset.objects.filter(pk=id), str(id)), "manifest.json").parent
        asked = {name: request.query_params.get(name) for name in ("format", "as", "split")}
        shape, container, split = asked["format"] or "trl", asked["as"] or "jsonl", asked["split"] or "train"
        if container not in ("jsonl", "csv"):
            raise BadInput(f"as: {container!r} is none of jsonl, csv.", where="as")
        exports.check(shape, split)
        if not connection.in_atomic_block:
            connection.close()
        kind = "text/csv" if container == "csv" else "application/x-ndjson"
        return StreamingHttpResponse(exports.stream(folder, shape, container, split), content_type=kind)


def one(rows: Any, name: str) -> RewardDataset:
    found = rows.first()
    if found is None:
        raise NotFound(f"There is no dataset {name}.")
    return found


def named(ref: str) -> RewardDataset:
    """A dataset by id, digest, or name (the newest ready one of that name). Raises NotFound."""
    rows = RewardDataset.objects.order_by("-created_at")
    try:
        return one(rows.filter(pk=uuid.UUID(ref)), ref)
    except ValueError:
        ready = rows.filter(status="ready")
        return ready.filter(digest=ref).first() or ready.filter(name=ref).first() or one(rows.filter(name=ref), ref)


def named_queues(slugs: list[str]) -> list[Queue]:
    found = {queue.slug: queue for queue in Queue.objects.filter(slug__in=slugs)}
    for i, slug in enumerate(slugs):
        if slug not in found:
            raise NotFound(f"queues[{i}]: there is no queue {slug!r}.", where=f"queues[{i}]")
    return list(found.values())


def file_path(dataset: RewardDataset, name: str) -> Path:
    if name not in FILES:
        raise NotFound(f"A dataset has no file {name}; it has {', '.join(FILES)}.")
    if dataset.status != "ready":
        raise Conflict(f"This dataset is {dataset.status}; its files come when it is ready.", state=dataset.status)
    return artifacts.path_of(dataset.artifact) / name


def stream(path: Path) -> StreamingHttpResponse:
    if not connection.in_atomic_block:
        connection.close()  # a slow reader must not hold one while the rows go out
    return StreamingHttpResponse(lines(path), content_type="application/x-ndjson")


def lines(path: Path) -> Iterator[bytes]:
    """The rows of a parquet file as JSON lines, a batch at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=500):
            yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch.to_pylist())


def show_row(dataset: RewardDataset) -> dict[str, Any]:
    return {
        "id": str(dataset.pk),
        "name": dataset.name,
        "status": dataset.status,
        "digest": dataset.digest or None,
        "counts": dataset.counts.get("splits", {}),
        "created_at": dataset.created_at,
    }


def show(dataset: RewardDataset) -> dict[str, Any]:
    ready = dataset.status == "ready"
    return {
        **show_row(dataset),
        "queues": sorted(dataset.queues.values_list("slug", flat=True)),
        "recipe": dataset.recipe,
        "rows": dataset.counts.get("rows", {}),
        "funnel": dataset.counts.get("funnel", {}),
        "simulated": dataset.simulated,
        "error": dataset.error or None,
        "files": list(FILES) if ready else [],
        "manifest": json.loads(file_path(dataset, "manifest.json").read_bytes()) if ready else None,
        "ready_at": dataset.ready_at,
    }
