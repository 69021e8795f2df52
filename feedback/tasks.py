"""What workers do for the collecting half. Beat calls each every few seconds; each is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from . import aggregation, assigning, interactions, pairing, uploads


@shared_task
def sweep() -> int:
    """Give back leases that ran out."""
    return assigning.release_expired()


@shared_task
def settle_judgments() -> int:
    """Take new judgments into preferences, settle items that are complete, ask a third where two differ."""
    done = aggregation.gather()
    pairing.ask_a_third()
    return done


@shared_task
def drop_expired() -> int:
    """Delete interactions older than the retention period."""
    return interactions.drop_expired()


@shared_task
def import_file(batch_id: int) -> None:
    """Bring in a file that was handed in on a page."""
    uploads.execute(batch_id=batch_id)


@shared_task
def sweep_imports() -> int:
    """Files whose message got lost, or whose worker died."""
    return uploads.sweep()
