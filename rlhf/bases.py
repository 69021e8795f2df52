"""Models that policies stand on: a registered artifact, or a directory that the settings name."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from feedback.errors import NotFound, Unavailable

from . import artifacts
from .models import Base, Run

STARTER, TINY = "smollm2-135m-instruct", "tiny"
STARTERS = {STARTER: "convert", TINY: "pretrain"}  # models made here the first time they are needed, and the run for it


def names() -> list[str]:
    return sorted({*settings.PLUMBLINE_BASES, *Base.objects.values_list("name", flat=True)})


def require_known(name: str) -> None:
    """NotFound unless the base exists, a run makes it, or it is a starter model."""
    if name not in {*names(), *STARTERS} and maker(name) is None:
        known = ", ".join(sorted({*names(), *STARTERS}))
        raise NotFound(f"There is no base model {name!r}; there are: {known}.", where="base")


def maker(name: str) -> Run | None:
    """The run that makes the base or has made it."""
    runs = Run.objects.filter(kind__in=set(STARTERS.values()), base=name)
    return runs.exclude(status__in=("failed", "cancelled")).first()


def path_of(name: str) -> Path:
    """The model's directory. Unavailable while the run that makes it has not finished."""
    if name in settings.PLUMBLINE_BASES:
        return _model_directory(name, Path(settings.PLUMBLINE_BASES[name]))
    base = Base.objects.filter(name=name).first()
    if base is None:
        raise Unavailable(f"waiting for the base model {name}")
    return artifacts.path_of(base.digest)


def _model_directory(name: str, path: Path) -> Path:
    if not path.is_dir():
        raise NotFound(f"The base model {name} is not on this machine: {path} (PLUMBLINE_BASES) is no directory.")
    if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
        raise NotFound(f"The base model {name} is none: {path} (PLUMBLINE_BASES) needs config.json and safetensors.")
    return path
