"""The lesson's address, and the engineer's: /loops/, /runs/, /datasets/, /policies/, /decisions/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from .views import datasets, decisions, loops, models, runs, standing, starting, teach

app_name = "rlhf"
urlpatterns: list[URLPattern | URLResolver] = [
    path("teach/", teach.page, name="teach"),
    path("teach/start/", teach.start, name="teach-start"),
    path("teach/vote/", teach.vote, name="teach-vote"),
    path("teach/undo/", teach.undo, name="teach-undo"),
    path("loops/", loops.index, name="loops"),
    path("loops/<slug:slug>/", loops.page, name="loop"),
    path("loops/<slug:slug>/go/", loops.go, name="loop-go"),
    path("loops/<slug:slug>/retry/", loops.retry, name="loop-retry"),
    path("loops/<slug:slug>/pause/", loops.pause, name="loop-pause"),
    path("loops/<slug:slug>/alarms/<uuid:pk>/close/", loops.close_alarm, name="alarm-close"),
    path("runs/", runs.index, name="runs"),
    path("runs/start/", starting.page, name="run-start"),
    path("runs/compare/", runs.compare, name="runs-compare"),
    path("runs/compare/metrics.json", runs.compared_metrics, name="runs-compare-metrics"),
    path("runs/<uuid:pk>/", runs.page, name="run"),
    path("runs/<uuid:pk>/metrics.json", runs.metrics, name="run-metrics"),
    path("runs/<uuid:pk>/figures/", runs.figures, name="run-figures"),
    path("runs/<uuid:pk>/cancel/", runs.cancel, name="run-cancel"),
    path("runs/<uuid:pk>/resume/", runs.resume, name="run-resume"),
    path("datasets/", datasets.index, name="datasets"),
    path("datasets/new/", datasets.new, name="dataset-new"),
    path("datasets/<uuid:pk>/", datasets.page, name="dataset"),
    path("datasets/<uuid:pk>/again/", datasets.again, name="dataset-again"),
    path("datasets/<uuid:pk>/rows/", datasets.explore, name="dataset-rows"),
    path("lineage/<str:type>/<str:id>/", datasets.lineage_page, name="lineage"),
    path("datasets/<uuid:pk>/files/<str:name>", datasets.download, name="dataset-file"),
    path("policies/", models.index, name="policies"),
    path("compare/policies/", models.compare, name="policies-compare"),
    path("registry/<slug:kind>/<slug:slug>/archive/", models.archive, name="archive"),
    path("registry/<slug:kind>/<slug:slug>/card.md", models.card, name="card"),
    path("registry/<slug:kind>/<slug:slug>/download.tar", models.download, name="download"),
    path("policies/<slug:slug>/", models.policy, name="policy"),
    path("reward-models/<slug:slug>/", models.reward_model, name="reward-model"),
    path("leaderboard/", standing.board, name="leaderboard"),
    path("leaderboard/ask/", standing.ask, name="leaderboard-ask"),
    path("gate-prompts/", standing.gate_budget, name="gate-prompts"),
    path("deployments/", standing.deployment_list, name="deployments"),
    path("deployments/<slug:alias>/canary/", standing.canary, name="canary"),
    path("deployments/<slug:alias>/promote/", models.promote, name="promote"),
    path("deployments/<slug:alias>/rollback/", models.rollback, name="rollback"),
    path("decisions/", decisions.index, name="decisions"),
    path("decisions/<uuid:pk>/", decisions.page, name="decision"),
    path("decisions/<uuid:pk>/override/", decisions.override, name="decision-override"),
    path("decisions/<uuid:pk>/abandon/", decisions.abandon, name="decision-abandon"),
]
