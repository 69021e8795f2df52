"""What a model directory says about itself, read from its small files and headers alone (stdlib only)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """parameters: how many; layers, hidden, vocabulary: the architecture; context: positions it covers (tokens)."""

    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    context: int


def shape_of(model: Path) -> Shape:
    """The shape of a model directory. OSError or ValueError where it is no model."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    return Shape(
        parameters=parameter_count(model),
        layers=config.get("num_hidden_layers", 12),
        hidden=config.get("hidden_size", 768),
        vocabulary=config.get("vocab_size", 50_000),
        context=config.get("max_position_embeddings", 2048),
    )


def parameter_count(model: Path) -> int:
    """How many parameters the safetensors files of a model hold, from their headers alone."""
    count = 0
    for path in sorted(model.glob("*.safetensors")):
        with path.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            header = json.loads(handle.read(size))
        count += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return count
