"""Every state and every edge, on one screen. A status moves by `advance` alone: a guarded UPDATE."""

from __future__ import annotations

from typing import Any

from django.db import models

from . import rows
from .errors import Conflict, StaleTransition

EDGES: dict[str, dict[str, set[str]]] = {
    "queue": {
        "draft": {"open"},
        "open": {"paused", "closed"},
        "paused": {"open", "closed"},
        "closed": {"open", "archived"},
        "archived": {"closed"},
    },
    "item": {
        "staged": {"open", "settled"},  # being imported: invisible until the last row is in
        "open": {"settled", "unusable", "closed", "held"},
        "settled": {"open", "held"},  # open: an undo, a withdrawal, or a raised overlap
        "unusable": {"open"},
        "closed": {"open"},
        "held": {"open", "unusable"},  # two people flagged harm: somebody decides
    },
    "seat": {
        "free": {"leased", "judged"},  # judged at once: a late answer
        "leased": {"judged", "free"},
        "judged": {"leased", "free"},  # an undo hands the same seat back; a withdrawn answer frees it
    },
    "assignment": {
        "leased": {"judged", "skipped", "expired", "released"},
        "expired": {"judged"},  # a late answer whose seat is still free
        "judged": {"leased", "void"},
        "void": set(),  # its answer was withdrawn or rejected; the seat is somebody else's
        "skipped": set(),
        "released": {"judged"},
    },
    "rewarddataset": {
        "queued": {"building"},
        "building": {"ready", "failed", "queued"},
        "failed": {"queued"},
        "ready": set(),
    },
    "run": {
        "queued": {"running", "cancelled"},
        "running": {"done", "failed", "cancelled", "queued"},
        "failed": {"queued"},
        "cancelled": {"queued"},
        "done": set(),
    },
    "engineserver": {  # a model kept in memory
        "wanted": {"starting", "idle"},
        "starting": {"ready", "failed", "wanted"},
        "ready": {"idle", "wanted", "failed"},
        "idle": {"wanted"},
        "failed": {"wanted"},
    },
    "decision": {
        "preparing": {"voting", "abandoned"},  # answers to the drawn prompts are still being made
        "voting": {"promoted", "refused", "abandoned"},
        "promoted": set(),
        "refused": {"promoted"},  # a person's override, with a reason
        "abandoned": set(),
    },
    "delivery": {"waiting": {"delivered", "failed"}, "failed": {"waiting"}, "delivered": set()},
    "importbatch": {
        "uploaded": {"queued"},
        "queued": {"staging"},
        "staging": {"done", "failed", "queued"},
        "failed": {"staging", "queued"},
        "done": set(),
    },
    "calibration": {"labelling": {"discussing"}, "discussing": {"closed"}, "closed": set()},
    "flagcase": {"raised": {"confirmed", "dismissed"}, "confirmed": set(), "dismissed": set()},
    "alarm": {"open": {"closed"}, "closed": set()},
    "loop": {"active": {"paused"}, "paused": {"active"}},
    "round": {
        "collecting": {"gathering", "failed"},
        "gathering": {"rewarding", "failed"},
        "rewarding": {"sampling", "failed"},
        "sampling": {"ranking", "failed"},
        "ranking": {"training", "failed"},
        "training": {"answering", "failed"},
        "answering": {"voting", "failed"},
        "voting": {"asking", "failed"},
        "asking": {"closed", "failed"},
        "closed": set(),
        "failed": {"collecting", "gathering", "rewarding", "sampling", "ranking", "training", "answering",
                   "voting", "asking"},
    },
}  # fmt: skip


def choices(thing: str) -> list[tuple[str, str]]:
    return [(state, state) for state in EDGES[thing]]


def status_check(thing: str) -> models.CheckConstraint:
    """The database's own copy of the list of states."""
    return models.CheckConstraint(condition=models.Q(status__in=list(EDGES[thing])), name=f"{thing}_status_known")


def advance(row: models.Model, to: str, **fields: Any) -> None:
    """Move `row` along an edge, only if nobody moved it first; other columns may change with it.

    Raises Conflict for an edge that does not exist, StaleTransition when the row has moved on.
    """
    advance_held(row, to, {}, **fields)


def advance_held(row: models.Model, to: str, held: dict[str, Any], **fields: Any) -> None:
    """`advance`, only while the columns in `held` still have these values: whose turn it is, say."""
    if any(hasattr(v, "resolve_expression") or isinstance(v, models.Model) for v in fields.values()):
        still = type(row)._default_manager.filter(pk=row.pk, status=_check_edge(row, to), **held)
        moved = still.update(status=to, **fields)
        _moved(row, to, fields, moved)  # a value that the database works out, or another row
    else:
        rows.run(moving(row, to, held, **fields))


def moving(row: models.Model, to: str, held: dict[str, Any] | None = None, **fields: Any) -> rows.Step:
    """The step that moves `row`, for those who run several at once; it raises as `advance` does when it has run."""
    old = _check_edge(row, to)

    def then(count: int, _: list[rows.Row]) -> None:
        _moved(row, to, fields, count)

    return rows.updating(row, {"status": to, **fields}, {"status": old, **(held or {})}, then)


def _check_edge(row: models.Model, to: str) -> str:
    """Where the row is now. Raises Conflict where no edge leads from there."""
    thing, old = row._meta.model_name, row.status  # type: ignore[attr-defined]
    assert thing is not None
    if to not in EDGES[thing].get(old, set()):
        raise Conflict(f"A {thing} that is {old} cannot become {to}.", state=old)
    return old


def _moved(row: models.Model, to: str, fields: dict[str, Any], count: int) -> None:
    old = row.status  # type: ignore[attr-defined]
    if not count:
        thing = row._meta.model_name
        raise StaleTransition(f"This {thing} is no longer {old}: somebody else moved it first.", state=old)
    row.status = to  # type: ignore[attr-defined]
    for name, value in fields.items():
        setattr(row, name, value)
