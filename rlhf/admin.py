"""What the machines' half shows in the administration: to look at. Changes go through the verbs and their pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from . import models


class Looking(ModelAdmin):
    """Nobody adds, edits or deletes here: a status that moved by hand would have no event and no guard."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


COLUMNS: dict[type, tuple[str, ...]] = {
    models.Base: ("name", "digest", "created_at"),
    models.RewardDataset: ("name", "status", "digest", "created_at"),
    models.Run: ("id", "kind", "status", "policy", "step", "total_steps", "created_at"),
    models.RewardModel: ("slug", "base", "created_at"),
    models.Evaluation: ("material", "policy", "reward_model", "created_at"),
    models.Decision: ("id", "candidate", "live", "status", "simulated", "created_at"),
    models.Deployment: ("alias", "policy", "updated_at"),
    models.DeploymentChange: ("deployment", "kind", "policy", "previous", "actor", "at"),
    models.Loop: ("slug", "queue", "base", "alias", "status"),
    models.Round: ("loop", "number", "status", "explain", "created_at"),
}
for model, columns in COLUMNS.items():
    admin.site.register(model, type(f"{model.__name__}Admin", (Looking,), {"list_display": columns}))
