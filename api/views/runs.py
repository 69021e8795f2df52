"""Runs: ordering, watching, stopping and resuming them; and the reward models they made."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import serializers, wire
from api.views import datasets
from api.views.base import ENGINEERS, View, listing, paged, person
from feedback.errors import BadInput, NotFound
from feedback.models import Policy, User
from rlhf import external, planning, reproducing, runs, spec
from rlhf.models import RewardModel, Run

KINDS = ("reward", *spec.POLICY_KINDS, "external")
ROWS = Run.objects.select_related("dataset", "policy", "reward_model", "produced_policy", "reward_model_made")


class Runs(View):
    roles = {"*": ENGINEERS}

    @listing("runs_list", serializers.RunOut)
    def get(self, request: Request) -> Response:
        """The runs, newest first."""
        return paged(self, ROWS.all(), show)

    @extend_schema(operation_id="runs_create", request=serializers.RunIn, responses={202: serializers.RunOut})
    def post(self, request: Request) -> Response:
        """Order a training run. `base` is a policy's slug (or, for reward models, a base model's name)."""
        body = serializers.RunIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        data = body.validated_data
        if data["kind"] not in KINDS:
            raise BadInput(f"kind: {data['kind']!r} is none of {', '.join(KINDS)}.", where="kind")
        run = (register if data["kind"] == "external" else order)(data, person(request))
        return Response(show(run), status=202)


class Plan(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_plan", request=serializers.RunIn, responses=serializers.PlanOut)
    def post(self, request: Request) -> Response:
        """What the same body sent to /runs/ would start: settings, rows lost, time and memory. Nothing is written."""
        body = serializers.RunIn(data=wire.one(request.data))
        body.is_valid(raise_exception=True)
        data = body.validated_data
        if data["kind"] not in planning.KINDS:
            raise BadInput(f"kind: {data['kind']!r} is none of {', '.join(planning.KINDS)}.", where="kind")
        run = runs.prepare(**asked(data))
        empty: dict[str, Any] = {"reasons": {}, "rows": None, "estimate": None, "note": ""}
        return Response({"kind": run.kind, "config": run.config, **empty, **run.plan})


class OneRun(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_read", responses=serializers.RunOut)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """One run: how far it is, and what came of it."""
        return Response(show(one(id)))


class Metrics(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_metrics", responses={200: serializers.Metric(many=True)}, filters=False)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """Every figure of every step."""
        rows = one(id).metrics.order_by("step", "name").values("step", "name", "value", "at")
        return Response(list(rows))


class Log(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_log", responses=serializers.Log)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """The end of the engine's log."""
        return Response({"log": one(id).log_tail})


class Reproduce(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_reproduce", responses=serializers.Recipe)
    def get(self, request: Request, id: uuid.UUID) -> Response:
        """Everything that the result depends on, and the shell commands that repeat the run."""
        return Response(reproducing.recipe(one(id)))


class Cancel(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_cancel", request=serializers.Empty, responses={202: serializers.RunOut})
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Stop a run; a checkpoint is kept."""
        runs.cancel(run=one(id), actor=person(request))
        return Response(show(one(id)), status=202)


class Resume(View):
    roles = {"*": ENGINEERS}

    @extend_schema(operation_id="runs_resume", request=serializers.Empty, responses={202: serializers.RunOut})
    def post(self, request: Request, id: uuid.UUID) -> Response:
        """Put a failed or cancelled run back; it goes on from its last checkpoint."""
        runs.resume(run=one(id), actor=person(request))
        return Response(show(one(id)), status=202)


class RewardModels(View):
    roles = {"*": ENGINEERS}

    @listing("reward_models_list", serializers.RewardModelOut)
    def get(self, request: Request) -> Response:
        """The reward models, newest first."""
        return paged(self, RewardModel.objects.all(), show_model)


def order(data: dict[str, Any], actor: User) -> Run:
    return runs.start(**asked(data), seed=data["seed"], queue=data["queue"], actor=actor)


def asked(data: dict[str, Any]) -> dict[str, Any]:
    """What a body asks for, as the verbs take it."""
    policy = Policy.objects.filter(slug=data["base"]).first()
    if policy is None and data["kind"] != "reward":
        raise NotFound(f"base: there is no policy {data['base']!r}.", where="base")
    return {
        "kind": data["kind"],
        "dataset": datasets.named(data["dataset"]),
        "policy": policy,
        "base": "" if policy else data["base"],
        "reward_model": named_model(data["reward_model"]) if data["reward_model"] else None,
        "config": data["config"],
    }


def named_model(slug: str) -> RewardModel:
    model = RewardModel.objects.filter(slug=slug).first()
    if model is None:
        raise NotFound(f"reward_model: there is no reward model {slug!r}.", where="reward_model")
    return model


def register(data: dict[str, Any], actor: User) -> Run:
    """A policy that was trained elsewhere."""
    policy = Policy.objects.filter(slug=data["base"]).first()
    if policy is None:
        raise NotFound(f"base: there is no policy {data['base']!r}.", where="base")
    if not data["artifact"]:
        raise BadInput("artifact: say where the trained policy is.", where="artifact")
    return external.order(
        dataset=datasets.named(data["dataset"]),
        artifact=data["artifact"],
        base=policy,
        metrics=data["metrics"],
        slug=data["slug"],
        actor=actor,
    )


def one(id: uuid.UUID) -> Run:
    run = ROWS.filter(pk=id).first()
    if run is None:
        raise NotFound(f"There is no run {id}.")
    return run


def show(run: Run) -> dict[str, Any]:
    made: RewardModel | None = getattr(run, "reward_model_made", None)
    return {
        "id": str(run.pk),
        "kind": run.kind,
        "status": run.status,
        "note": run.note,
        "dataset": run.dataset.digest if run.dataset else None,
        "base": run.base,
        "policy": run.policy.slug if run.policy else None,
        "config": run.config,
        "plan": run.plan,
        "seed": run.seed,
        "queue": run.worker_queue,
        "stands_on": run.stands_on,
        "step": run.step,
        "total_steps": run.total_steps,
        "phase": run.phase,
        "attempt": run.attempt,
        "cancel_requested": run.cancel_requested,
        "result": run.result,
        "error": run.error,
        "artifact": run.artifact or None,
        "produced_policy": run.produced_policy.slug if run.produced_policy else None,
        "reward_model": made.slug if made else run.reward_model.slug if run.reward_model else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def show_model(model: RewardModel) -> dict[str, Any]:
    return {
        "slug": model.slug,
        "base": model.base,
        "artifact": model.artifact,
        "figures": model.figures,
        "run": str(model.run_id),
        "created_at": model.created_at,
    }
