"""What workers do for the learning half. Names that begin with `run_` go to the `train` queue."""

from __future__ import annotations

from celery import shared_task

from . import lineage, loops, marks, proposals, reward_datasets, runs


@shared_task
def build_dataset(dataset_id: str) -> None:
    reward_datasets.build(dataset_id=dataset_id)


@shared_task
def report_leaks() -> int:
    return reward_datasets.report_leaks()


@shared_task
def run_job(run_id: str) -> None:
    runs.execute(run_id=run_id)


@shared_task
def sweep_runs() -> int:
    """Wake what waits, put back what lost its worker, mark what rests on withdrawn judgments."""
    lineage.mark_withdrawn()
    reward_datasets.report_leaks()
    return reward_datasets.sweep() + runs.sweep()


@shared_task
def sweep_decisions() -> int:
    """Bring decisions a step further; mark those whose votes were taken back."""
    return proposals.go_on() + marks.mark_changed()


@shared_task
def tick_loops() -> None:
    loops.tick_all()
