"""Looking through the rows of a frozen dataset: search, filters, the most disputed, and histograms."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHOWN = 20
SHORT = ["probability", "votes", "prompt_id", "arm"]


def find(folder: Path, *, q: str, file: str, arm: str, order: str) -> tuple[list[dict[str, Any]], int]:
    """Up to SHOWN rows that fit, and how many fit; `order` disputed puts the least sure with most votes first."""
    kept: list[tuple[Any, int, dict[str, Any]]] = []
    total = 0
    needle = q.casefold().strip()
    with pq.ParquetFile(folder / f"{file}.parquet") as table:
        for batch in table.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                if (arm and row["arm"] != arm) or (needle and needle not in _text(row)):
                    continue
                total += 1
                rank = (row["probability"], -row["votes"]) if order == "disputed" else (total, 0)
                entry = (tuple(-r for r in rank), -total, row)
                if len(kept) < SHOWN:
                    heapq.heappush(kept, entry)
                elif entry[:2] > kept[0][:2]:
                    heapq.heapreplace(kept, entry)
    return [row for _, _, row in sorted(kept, key=lambda e: e[:2], reverse=True)], total


def _text(row: dict[str, Any]) -> str:
    turns = [*row["prompt"], *row["chosen"], *row["rejected"]]
    return "\n".join(turn["content"] for turn in turns).casefold()


def histograms(folder: Path, file: str) -> list[dict[str, Any]]:
    """Bars of the answers' lengths in letters and of how sure the votes are, as SVG bars."""
    table = pq.read_table(folder / f"{file}.parquet", columns=["probability", "chosen", "rejected"])
    if not table.num_rows:
        return []
    lengths = np.concatenate([_lengths(table[side]) for side in ("chosen", "rejected")])
    sure = table["probability"].to_numpy()
    most = max(float(np.percentile(lengths, 99)), 10.0)
    return [
        _bars("Length of answers, in letters", np.minimum(lengths, most), np.linspace(0, most, 21)),
        _bars("Probability that the chosen one is better", sure, np.linspace(0.5, 1, 11)),
    ]


def _lengths(column: Any) -> np.ndarray:
    texts = pa.compute.struct_field(column.combine_chunks().flatten(), "content")
    return pa.compute.utf8_length(texts).to_numpy(zero_copy_only=False)


def _bars(title: str, values: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    n, _ = np.histogram(values, edges)
    width = 300 / len(n)
    return {
        "title": title, "width": round(width - 2, 1), "low": f"{edges[0]:g}", "high": f"{edges[-1]:.4g}",
        "bars": [
            {"x": round(i * width, 1), "y": round(100 - 96 * c / n.max(), 1), "height": round(96 * c / n.max(), 1),
             "words": f"{edges[i]:.3g} to {edges[i + 1]:.3g}: {c}"}
            for i, c in enumerate(n.tolist())
        ],
    }  # fmt: skip
