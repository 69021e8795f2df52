"""Starting a run: a form that is filled in already, the plan beside it, one button."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from feedback.errors import BadInput, PlumblineError
from feedback.models import Policy

from .. import bases, runs, spec
from ..models import Deployment, RewardDataset, RewardModel
from .access import engineers

KINDS = {
    "reward": "A reward model: learns which of two answers people prefer",
    "dpo": "DPO: moves a policy towards the answers that people preferred",
    "kto": "KTO: the same from single good and bad answers",
    "sft": "SFT: imitates good answers",
    "rloo": "RLOO: the policy's own answers, rewarded by a reward model",
    "grpo": "GRPO: the same, rewards compared within a group of answers",
}


@engineers
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """GET shows the form and the plan of what it says; POST starts it."""
    asked = request.POST if request.method == "POST" else request.GET
    choice = Choice(asked)
    try:
        if request.method == "POST":
            run = runs.start(**choice.order(), seed=choice.seed(), actor=request.user)  # type: ignore[arg-type]
            return redirect("rlhf:run", run.pk)
        prepared, wrong = runs.prepare(**choice.order()), None
    except PlumblineError as error:
        if request.method == "POST":
            messages.error(request, error.message)
        prepared, wrong = None, error
    context: dict[str, Any] = {"choice": choice, "run": prepared, "wrong": wrong, "kinds": KINDS}
    if prepared is not None:
        reasons = prepared.plan.get("reasons", {})
        context["settings"] = [(name, value, reasons.get(name, "")) for name, value in prepared.config.items()]
        context["settings"].sort(key=lambda row: not row[2])
    status = wrong.status if wrong and request.method == "POST" else 200
    template = "rlhf/_run_plan.html" if request.htmx else "rlhf/run_start.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=status)


class Choice:
    """What the form says, with what is most likely meant where it says nothing."""

    def __init__(self, asked: QueryDict) -> None:
        self.kind = asked.get("kind") or "reward"
        self.datasets = list(RewardDataset.objects.filter(status="ready").order_by("-created_at")[:100])
        self.policies = list(Policy.objects.filter(kind="local", archived_at=None).order_by("-pk")[:100])
        self.reward_models = list(RewardModel.objects.filter(archived_at=None)[:100])
        self.bases = bases.names()
        self.dataset = asked.get("dataset") or (str(self.datasets[0].pk) if self.datasets else "")
        self.base = asked.get("base") or self._likely_base()
        self.reward_model = asked.get("reward_model") or (self.reward_models[0].slug if self.reward_models else "")
        self.config = asked.get("config", "").strip()
        self.seed_text = asked.get("seed") or "0"

    @property
    def rewarded(self) -> bool:
        return self.kind in spec.REWARDED_KINDS

    def _likely_base(self) -> str:
        """What is live, else the newest local policy; for a reward model its base."""
        live = Deployment.objects.filter(policy__kind="local").select_related("policy").order_by("-updated_at").first()
        policy = live.policy if live else self.policies[0] if self.policies else None
        if self.kind == "reward":
            return policy.base if policy else (self.bases[0] if self.bases else "")
        return policy.slug if policy else ""

    def order(self) -> dict[str, Any]:
        """As `runs.start` takes it. BadInput names the field."""
        policy = next((policy for policy in self.policies if policy.slug == self.base), None)
        return {
            "kind": self.kind,
            "dataset": self._dataset(),
            "policy": policy,
            "base": "" if policy else self.base,
            "reward_model": self._reward_model() if self.rewarded else None,
            "config": self._config(),
        }

    def seed(self) -> int:
        if not self.seed_text.isdecimal() or int(self.seed_text) >= 2**31:
            raise BadInput("seed: must be a whole number below 2,147,483,648.", where="seed")
        return int(self.seed_text)

    def _dataset(self) -> RewardDataset | None:
        try:
            return RewardDataset.objects.filter(pk=UUID(self.dataset)).first()
        except ValueError:
            return None

    def _reward_model(self) -> RewardModel | None:
        return next((model for model in self.reward_models if model.slug == self.reward_model), None)

    def _config(self) -> dict[str, Any]:
        try:
            config = json.loads(self.config or "{}")
        except ValueError as broken:
            raise BadInput(f"Settings: this is not JSON ({broken}).", where="config") from broken
        if not isinstance(config, dict):
            raise BadInput('Settings: write a JSON object, such as {"max_steps": 100}.', where="config")
        return config
