"""Reward datasets: what came in, what went out and why, and the files to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from feedback.errors import NotFound

from .. import artifacts
from ..freezing.rows import FILES
from ..models import RewardDataset
from .access import engineers

NAMES = (*(f"{name}.parquet" for name in FILES), "judgments.txt", "manifest.json")
FIRST = 5
ABOUT = {
    "train.parquet": "Decisive pairs on train prompts, for RewardTrainer and DPOTrainer as they are.",
    "test.parquet": "Decisive pairs on dev prompts.",
    "ties.parquet": "Pairs without a winner: targets of one half.",
    "kto.parquet": "Single answers, good or bad, for KTOTrainer.",
    "sft.parquet": "Single answers to imitate, for SFTTrainer.",
    "judgments.txt": "The id of every judgment behind the rows, sorted, one a line.",
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
@require_GET
def download(request: HttpRequest, pk: UUID, name: str) -> FileResponse:
    """One of the known files; anything else is not found."""
    folder = folder_of(get_object_or_404(RewardDataset, pk=pk))
    if folder is None or name not in NAMES or not (folder / name).is_file():
        raise Http404("There is no such file in this dataset.")
    return FileResponse((folder / name).open("rb"), as_attachment=True, filename=name)


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
