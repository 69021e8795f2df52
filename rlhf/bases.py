"""Models that policies stand on: a registered artifact, or a directory that the settings name."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from feedback.errors import NotFound, Unavailable

from . import artifacts
from .models import Base, Run


def names() -> list[str]:
    return sorted({*settings.PLUMBLINE_BASES, *Base.objects.values_list("name", flat=True)})


def require_known(name: str) -> None:
    """NotFound unless the base exists or a run that makes it is on its way."""
    coming = Run.objects.filter(kind__in=("convert", "pretrain"), base=name).exclude(status__in=("failed", "cancelled"))
    if name not in names() and not coming.exists():
        raise NotFound(f"There is no base model {name!r}; there are: {', '.join(names()) or 'none yet'}.", where="base")


def path_of(name: str) -> Path:
    """The model's directory. Unavailable while the run that makes it has not finished."""
    if name in settings.PLUMBLINE_BASES:
        return Path(settings.PLUMBLINE_BASES[name])
    base = Base.objects.filter(name=name).first()
    if base is None:
        raise Unavailable(f"waiting for the base model {name}")
    return artifacts.path_of(base.digest)
