"""The API's addresses, /api/v1/..., its OpenAPI document and pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from api import schema as schema
from api.views import (
    annotating,
    base,
    content,
    datasets,
    decisions,
    deployments,
    evaluations,
    interactions,
    lineage,
    loops,
    pulling,
    queues,
    runs,
    scoring,
    standing,
    webhooks,
)

app_name = "api"

v1: list[URLPattern | URLResolver] = [
    path("prompts/", content.Prompts.as_view(), name="prompts"),
    path("responses/", content.Responses.as_view(), name="responses"),
    path("policies/", content.Policies.as_view(), name="policies"),
    path("queues/", queues.Queues.as_view(), name="queues"),
    path("queues/<slug:slug>/", queues.OneQueue.as_view(), name="queue"),
    path("queues/<slug:slug>/members/", queues.Members.as_view(), name="members"),
    path("queues/<slug:slug>/items/", queues.Items.as_view(), name="items"),
    path("queues/<slug:slug>/stats/", queues.Stats.as_view(), name="stats"),
    path("queues/<slug:slug>/claim/", annotating.Claim.as_view(), name="claim"),
    path("assignments/<uuid:id>/judgment/", annotating.Judge.as_view(), name="judge"),
    path("assignments/<uuid:id>/skip/", annotating.Skip.as_view(), name="skip"),
    path("assignments/<uuid:id>/heartbeat/", annotating.Heartbeat.as_view(), name="heartbeat"),
    path("judgments/<uuid:id>/undo/", annotating.Undo.as_view(), name="undo"),
    path("datasets/", datasets.Datasets.as_view(), name="datasets"),
    path("datasets/<uuid:id>/", datasets.OneDataset.as_view(), name="dataset"),
    path("datasets/<uuid:id>/files/<str:name>", datasets.File.as_view(), name="dataset-file"),
    path("lineage/<str:type>/<str:id>/", lineage.Lineage.as_view(), name="lineage"),
    path("runs/", runs.Runs.as_view(), name="runs"),
    path("runs/pull/", pulling.Pull.as_view(), name="run-pull"),
    path("runs/<uuid:id>/inputs/<path:name>", pulling.Input.as_view(), name="run-input"),
    path("runs/<uuid:id>/output/<path:name>", pulling.Output.as_view(), name="run-output"),
    path("runs/<uuid:id>/report/", pulling.Report.as_view(), name="run-report"),
    path("runs/<uuid:id>/conclude/", pulling.Conclude.as_view(), name="run-conclude"),
    path("runs/plan/", runs.Plan.as_view(), name="run-plan"),
    path("runs/<uuid:id>/", runs.OneRun.as_view(), name="run"),
    path("runs/<uuid:id>/metrics/", runs.Metrics.as_view(), name="run-metrics"),
    path("runs/<uuid:id>/log/", runs.Log.as_view(), name="run-log"),
    path("runs/<uuid:id>/reproduce/", runs.Reproduce.as_view(), name="run-reproduce"),
    path("runs/<uuid:id>/cancel/", runs.Cancel.as_view(), name="run-cancel"),
    path("runs/<uuid:id>/resume/", runs.Resume.as_view(), name="run-resume"),
    path("evaluations/", evaluations.Evaluations.as_view(), name="evaluations"),
    path("reward-models/", runs.RewardModels.as_view(), name="reward-models"),
    path("reward-models/<slug:id>/score/", scoring.Score.as_view(), name="score"),
    path("policies/<slug:slug>/promote/", deployments.Promote.as_view(), name="promote"),
    path("deployments/<slug:alias>/rollback/", deployments.Rollback.as_view(), name="rollback"),
    path("deployments/<slug:alias>/canary/", deployments.Canary.as_view(), name="canary"),
    path("leaderboard/", standing.Leaderboard.as_view(), name="leaderboard"),
    path("loops/<slug:slug>/worth/", standing.Worth.as_view(), name="worth"),
    path("decisions/", decisions.Decisions.as_view(), name="decisions"),
    path("decisions/<uuid:id>/", decisions.OneDecision.as_view(), name="decision"),
    path("decisions/<uuid:id>/override/", decisions.Override.as_view(), name="decision-override"),
    path("decisions/<uuid:id>/abandon/", decisions.Abandon.as_view(), name="decision-abandon"),
    path("loops/", loops.Loops.as_view(), name="loops"),
    path("loops/<slug:slug>/", loops.OneLoop.as_view(), name="loop"),
    path("loops/<slug:slug>/tick/", loops.Tick.as_view(), name="tick"),
    path("interactions/", interactions.Interactions.as_view(), name="interactions"),
    path("interactions/<uuid:id>/feedback/", interactions.Feedback.as_view(), name="interaction-feedback"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="webhooks"),
    path("webhooks/<uuid:id>/", webhooks.OneWebhook.as_view(), name="webhook"),
    path("webhooks/<uuid:id>/deliveries/", webhooks.Deliveries.as_view(), name="deliveries"),
    path("deliveries/<uuid:id>/retry/", webhooks.Retry.as_view(), name="delivery-retry"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(v1)),
    re_path(r"^v1/[\s\S]*$", base.NothingHere.as_view(), name="nothing"),
    path("schema/", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api:schema", permission_classes=[]), name="docs"),
]
