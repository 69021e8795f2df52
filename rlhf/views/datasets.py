"""Reward datasets: what came in, what went out and why, and the files to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from feedback.errors import NotFound, PlumblineError
from feedback.models import ARMS, Queue, User

from .. import artifacts, lineage, reward_datasets
from ..freezing import exploring
from ..freezing.recipe import Recipe, schema
from ..freezing.rows import FILES
from ..models import RewardDataset
from . import lineage_picture
from .access import engineers

NAMES = (*(f"{name}.parquet" for name in FILES), "judgments.txt", "manifest.json", "README.md")
FIRST = 5
ABOUT = {
    "train.parquet": "Decisive pairs on train prompts, for RewardTrainer and DPOTrainer as they are.",
    "test.parquet": "Decisive pairs on dev prompts.",
    "ties.parquet": "Pairs without a winner: targets of one half.",
    "kto.parquet": "Single answers, good or bad, for KTOTrainer.",
    "sft.parquet": "Single answers to imitate, for SFTTrainer.",
    "judgments.txt": "The id of every judgment behind the rows, sorted, one a line.",
    "README.md": "The card: counts, agreement, recipe, what was left out, known limits.",
    "manifest.json": "Recipe, counts and digest.",
}


@engineers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    pages = Paginator(RewardDataset.objects.prefetch_related("queues"), 50)
    return render(request, "rlhf/datasets.html", {"page": pages.get_page(request.GET.get("page"))})


@engineers
@require_GET
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    dataset = get_object_or_404(RewardDataset, pk=pk)
    folder = folder_of(dataset)
    context = {
        "dataset": dataset,
        "funnel": funnel(dataset.counts.get("funnel", {})),
        "files": files(folder) if folder else [],
        "first": first_rows(folder) if folder else [],
        "runs": dataset.runs.all(),
    }
    return render(request, "rlhf/dataset.html", context)


@engineers
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new dataset: a name, queues, and the recipe's own schema."""
    queues = Queue.objects.filter(purpose="label").order_by("slug")
    error = ""
    if request.method == "POST":
        chosen = queues.filter(slug__in=request.POST.getlist("queues"))
        try:
            given = Recipe.from_form(request.POST).as_json()
            name = request.POST.get("name", "").strip()
            made = reward_datasets.order(name=name, queues=list(chosen), recipe=given, actor=person(request))
            return redirect("rlhf:dataset", made.pk)
        except PlumblineError as wrong:
            error = wrong.message
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in schema():
        groups.setdefault(row["group"], []).append(row | {"given": request.POST.get(row["name"], "")})
    context = {"queues": queues, "groups": groups.items(), "error": error, "given": request.POST}
    return render(request, "rlhf/dataset_new.html", context, status=400 if error else 200)


@engineers
@require_POST
def again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Build it again from what stands now: without what was withdrawn since."""
    old = get_object_or_404(RewardDataset, pk=pk)
    made = reward_datasets.order(name=old.name, queues=list(old.queues.all()), recipe=old.recipe, actor=person(request))
    return redirect("rlhf:dataset", made.pk)


@engineers
@require_GET
def explore(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Rows side by side, by words, file and arm; the most disputed first where asked."""
    dataset = get_object_or_404(RewardDataset, pk=pk)
    folder = folder_of(dataset)
    if folder is None:
        raise Http404("Its files are not here.")
    wanted = {name: request.GET.get(name, "") for name in ("q", "file", "arm", "order")}
    wanted["file"] = wanted["file"] if wanted["file"] in ("train", "test", "ties") else "train"
    rows, total = exploring.find(folder, **wanted)
    context = {
        "dataset": dataset, "rows": rows, "total": total, "wanted": wanted, "arms": ARMS,
        "files": ("train", "test", "ties"),
        "shapes": exploring.histograms(folder, wanted["file"]),
    }  # fmt: skip
    return render(request, "rlhf/dataset_rows.html", context)


@engineers
@require_GET
def lineage_page(request: HttpRequest, type: str, id: str) -> HttpResponse:
    """The picture of what it rests on and what learnt from it."""
    try:
        start = lineage.node(type, id)
    except PlumblineError as wrong:
        raise Http404(wrong.message) from wrong
    graph = lineage.around(start, limit=6)
    context = {"start": lineage.describe(start), "picture": lineage_picture.draw(graph, start)}
    return render(request, "rlhf/lineage.html", context)


@engineers
@require_GET
def download(request: HttpRequest, pk: UUID, name: str) -> FileResponse:
    """One of the known files; anything else is not found."""
    folder = folder_of(get_object_or_404(RewardDataset, pk=pk))
    if folder is None or name not in NAMES or not (folder / name).is_file():
        raise Http404("There is no such file in this dataset.")
    return FileResponse((folder / name).open("rb"), as_attachment=True, filename=name)


def person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def folder_of(dataset: RewardDataset) -> Path | None:
    """Where its files are; None while it is built, or where the artifact is on another machine."""
    try:
        return artifacts.path_of(dataset.artifact)
    except NotFound:
        return None


def files(folder: Path) -> list[dict[str, Any]]:
    there = [name for name in NAMES if (folder / name).is_file()]
    return [{"name": n, "size": (folder / n).stat().st_size, "about": ABOUT[n]} for n in there]


def first_rows(folder: Path) -> list[dict[str, Any]]:
    """The first pairs of train.parquet, read without loading the rest."""
    batches = pq.ParquetFile(folder / "train.parquet").iter_batches(batch_size=FIRST)
    batch = next(batches, None)
    return [] if batch is None else batch.to_pylist()


def funnel(counts: dict[str, int]) -> list[dict[str, Any]]:
    """From judgments to rows: what came in first, then what was left out and why."""
    order = ("judgments", "simulated", "withdrawn", "not_counting", "pairs")
    known = [name for name in order if name in counts]
    rest = sorted(name for name in counts if name not in order)
    told = {"simulated": "of them by simulated people", "not_counting": "gold, corrected or not counted"}
    return [
        {"name": told.get(name, name.removeprefix("out: ")), "count": counts[name], "out": name.startswith("out: ")}
        for name in [*known, *rest]
    ]
