"""Three real people on 999 pairs (PandaLM): the figures that the docs quote."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from feedback.stats.agreement import agreement


def test_three_annotators_agree_as_the_docs_say(test_data: Path) -> None:
    """0 a tie, 1 or 2 the better answer; answers that are no strings are no pair and are left out."""
    with gzip.open(test_data / "pandalm_three_annotators.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    votes = [[row[f"annotator{n}"] for n in (1, 2, 3)] for row in rows]
    assert len(votes) == 999
    found = agreement(votes)
    assert found.alpha is not None and found.raw is not None
    assert (round(found.alpha, 3), round(found.raw.value, 3)) == pytest.approx(FIGURES, abs=0.0005)


FIGURES = (0.864, 0.920)  # alpha, raw
