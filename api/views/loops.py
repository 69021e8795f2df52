"""Loops: the standing order, and where its round is."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback import queues
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Policy
from rlhf import loops
from rlhf.models import Loop, Round

METADATA_KEY = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")  # no double underscore: that would be a lookup


class Loops(View):
    roles = {"*": ENGINEERS}

    @listing("loops_list", serializers.LoopOut)
    def get(self, request: Request) -> Response:
        """The loops, newest first."""
        return paged(self, Loop.objects.select_related("queue"), show)

    @extend_schema(
        operation_id="loops_create",
        request=serializers.LoopIn,
        responses={201: serializers.LoopOut, 200: serializers.LoopOut},
    )
    def post(self, request: Request) -> Response:
        """Start a loop over a queue; `policy` goes live under `alias` unless something is live there."""
        body = serializers.LoopIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        wanted = read(body.validated_data, request)
        existing = Loop.objects.filter(slug=wanted["slug"]).first()
        if existing is not None:
            require_same(existing, wanted)
            return Response(show(existing), status=200)
        if Loop.objects.filter(alias=wanted["alias"]).exists():
            raise Conflict(f"alias: another loop serves {wanted['alias']}.", where="alias")
        return Response(show(loops.create(**wanted, actor=person(request))), status=201)


class OneLoop(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="loops_read", responses=serializers.LoopOut)
    def get(self, request: Request, slug: str) -> Response:
        """One loop, its open round, and why it waits."""
        return Response(show(one(slug)))


class Tick(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="loops_tick", request=serializers.TickIn, responses=serializers.LoopOut)
    def post(self, request: Request, slug: str) -> Response:
        """Do the next thing now. `force` starts the round with the preferences there are."""
        body = serializers.TickIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        loop = one(slug)
        waits_for = loops.tick(loop=loop, force=body.validated_data["force"])
        return Response({**show(loop), "waiting_for": waits_for})


def one(slug: str) -> Loop:
    loop = Loop.objects.select_related("queue").filter(slug=slug).first()
    if loop is None:
        raise NotFound(f"There is no loop {slug}.")
    return loop


def read(data: dict[str, Any], request: Request) -> dict[str, Any]:
    """The arguments of `loops.create`. Raises NotFound naming what is unknown."""
    policy = Policy.objects.filter(slug=data["policy"]).first()
    if policy is None:
        raise NotFound(f"policy: there is no policy {data['policy']!r}.", where="policy")
    for name in data["prompt_filter"]:
        if not METADATA_KEY.fullmatch(name):
            raise BadInput(f"prompt_filter: {name!r} is not the name of a metadata field.", where="prompt_filter")
    return {
        "slug": data["slug"],
        "title": data["title"] or data["slug"],
        "queue": queues.find(slug=data["queue"], user=person(request)),
        "policy": policy,
        "alias": data["alias"],
        "config": data["config"],
        "prompt_filter": {f"metadata__{name}": value for name, value in data["prompt_filter"].items()},
    }


def require_same(loop: Loop, wanted: dict[str, Any]) -> None:
    """Conflict unless the body describes the loop that has this slug."""
    same = (
        loop.title == wanted["title"]
        and loop.queue_id == wanted["queue"].pk
        and loop.base == wanted["policy"].base
        and loop.alias == wanted["alias"]
        and loop.config == asdict(loops.LoopConfig.parse(wanted["config"]))
        and loop.prompt_filter == wanted["prompt_filter"]
    )
    if not same:
        raise Conflict(f"A loop named {loop.slug} exists and differs; choose another slug.", slug=loop.slug)


def show(loop: Loop) -> dict[str, Any]:
    current = loop.rounds.select_related("dataset", "decision").first()
    return {
        "slug": loop.slug,
        "title": loop.title,
        "queue": loop.queue.slug,
        "base": loop.base,
        "alias": loop.alias,
        "status": loop.status,
        "config": loop.config,
        "demo": loop.demo,
        "round": show_round(current) if current else None,
        "waiting_for": current.explain if current else "",
        "created_at": loop.created_at,
    }


def show_round(current: Round) -> dict[str, Any]:
    return {
        "number": current.number,
        "status": current.status,
        "explain": current.explain,
        "dataset": current.dataset.digest if current.dataset else None,
        "decision": str(current.decision_id) if current.decision_id else None,
        "facts": current.facts,
        "created_at": current.created_at,
        "closed_at": current.closed_at,
    }
