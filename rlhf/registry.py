"""The registry of policies and reward models: cards, downloads, archive, comparison."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.utils import timezone

from feedback import events
from feedback.errors import Conflict
from feedback.models import Policy, User

from . import artifacts
from .models import Decision, Deployment, RewardModel, Run

CHUNK = 2**20
Thing = Policy | RewardModel


def archive(*, thing: Thing, actor: User | None = None) -> None:
    """Out of sight in lists and forms; lineage, files and addresses stay. Conflict for what is live."""
    if isinstance(thing, Policy):
        live = list(Deployment.objects.filter(policy=thing).values_list("alias", flat=True))
        if live:
            raise Conflict(f"{thing.slug} is live as {', '.join(live)}; it cannot be archived.")
    _mark(thing, actor, "archived")


def restore(*, thing: Thing, actor: User | None = None) -> None:
    """Back into lists and forms."""
    _mark(thing, actor, "restored")


def _mark(thing: Thing, actor: User | None, verb: str) -> None:
    moment = timezone.now() if verb == "archived" else None
    with transaction.atomic():
        changed = type(thing).objects.filter(pk=thing.pk, archived_at__isnull=verb == "archived")
        if changed.update(archived_at=moment):
            events.record(f"{thing._meta.model_name}.{verb}", thing, actor=actor)
    thing.archived_at = moment


def card(thing: Thing) -> str:
    """The model's card: what it is, what it stands on, what was decided, as markdown."""
    lines = _policy_lines(thing) if isinstance(thing, Policy) else _reward_lines(thing)
    return f"# {thing.slug}\n\n" + "\n".join(lines) + "\n"


def _policy_lines(policy: Policy) -> list[str]:
    run = Run.objects.filter(produced_policy=policy).select_related("dataset").first()
    decisions = Decision.objects.filter(candidate=policy).select_related("live")
    return [
        *_facts(
            ("Kind", policy.kind),
            ("Base model", policy.base),
            ("Made from", policy.parent.slug if policy.parent else ""),
            ("Adapter", policy.adapter),
            ("Chooses by head", policy.head),
            ("Decoding", ", ".join(f"{name} {value}" for name, value in policy.decoding.items())),
            ("Note", policy.note),
        ),
        *(["", "## System prompt", "", *(f"> {line}" for line in policy.system_prompt.splitlines())]
          if policy.system_prompt else []),
        *_training(run),
        *(["", "## What people decided", "", *(_decision(d) for d in decisions)] if decisions else []),
    ]  # fmt: skip


def _reward_lines(model: RewardModel) -> list[str]:
    figures = [(name.replace("_", " "), _figure(value)) for name, value in sorted(model.figures.items())]
    return [
        *_facts(("Base model", model.base), ("Artifact", model.artifact)),
        *_training(model.run),
        "",
        "## Figures, cross-fitted by prompt group",
        "",
        *_facts(*figures),
    ]


def _facts(*facts: tuple[str, str]) -> list[str]:
    return [f"- **{name}**: {value}" for name, value in facts if value]


def _training(run: Run | None) -> list[str]:
    if run is None:
        return []
    data = f"{run.dataset.name} ({run.dataset.digest})" if run.dataset else ""
    simulated = "labels of simulated people; it says nothing about real ones" if _simulated(run) else ""
    versions = ", ".join(f"{name} {version}" for name, version in run.result.get("versions", {}).items())
    settings = ", ".join(f"{name} {value}" for name, value in run.config.items() if value not in ("", None))
    facts = _facts(
        ("Run", f"{run.kind} {run.pk}"),
        ("Dataset", data),
        ("Beware", simulated),
        ("Settings", settings),
        ("Seed", str(run.seed)),
        ("Versions", versions),
    )
    return ["", "## Training", "", *facts]


def _simulated(run: Run) -> bool:
    return bool(run.dataset and run.dataset.simulated)


def _decision(decision: Decision) -> str:
    votes = " (votes of simulated people)" if decision.simulated else ""
    return f"- against {decision.live.slug}: {decision.status}{votes}"


def _figure(value: Any) -> str:
    if isinstance(value, dict) and value.get("value") is not None:
        return f"{value['value']:.3f} ({value.get('low', 0):.3f} to {value.get('high', 0):.3f}, n {value.get('n')})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def packed(*, digest: str, name: str, card: str) -> Iterator[bytes]:
    """An artifact as a tar file with its card, piece by piece; NotFound before the first when it is not here."""
    folder = artifacts.path_of(digest)
    return _pack(folder, name, card)


def _pack(folder: Any, name: str, card: str) -> Iterator[bytes]:
    files = [(f"{name}/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*")) if path.is_file()]
    content = card.encode()
    yield _header(f"{name}/README.md", len(content)) + content + _padding(len(content))
    for place, path in files:
        if place == f"{name}/README.md":
            continue
        size = path.stat().st_size
        yield _header(place, size)
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                yield piece
        yield _padding(size)
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def differences(one: Policy, other: Policy) -> list[tuple[str, str, str]]:
    """(what, of one, of the other) for everything that is not the same."""
    sides = [_described(policy) for policy in (one, other)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = [(name, sides[0].get(name, ""), sides[1].get(name, "")) for name in names]
    return [row for row in rows if row[1] != row[2]]


def _described(policy: Policy) -> dict[str, str]:
    run = Run.objects.filter(produced_policy=policy).select_related("dataset").first()
    trained = {f"{run.kind}: {name}": str(value) for name, value in run.config.items()} if run else {}
    return {
        "kind": policy.kind, "base": policy.base, "made from": policy.parent.slug if policy.parent else "",
        "adapter": policy.adapter[:12], "head": policy.head[:12], "system prompt": policy.system_prompt,
        **{f"decoding: {name}": str(value) for name, value in policy.decoding.items()},
        "dataset": run.dataset.name if run and run.dataset else "", **trained,
    }  # fmt: skip
