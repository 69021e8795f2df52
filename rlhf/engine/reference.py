"""Log-probabilities under the policy that starts, computed once, kept in a file, shared out among processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import gather_object

from rlhf.engine.run_dir import RunDir, is_main, read_lines, write_atomically
from rlhf.engine.training import processes, wait_for_all

BATCH = 8  # rows


def reference(run_dir: RunDir, keys: list[Any], log_probs: Callable[[list[Any]], list[list[float]]]) -> list[Any]:
    """What `log_probs` says of each key, in order. Batches are of neighbours: sort the keys by length.

    A file of an earlier attempt is used as it is: the plan that the keys come from is the spec's.
    """
    path = run_dir.checkpoints / "reference.jsonl"
    known = read_lines(path) if path.exists() else []
    wait_for_all()
    if len(known) == len(keys):
        return known
    batches = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
    rank, count = int(torch.distributed.get_rank()) if processes() > 1 else 0, processes()
    found = []
    for number in range(rank, len(batches), count):
        run_dir.check_stop()
        with torch.inference_mode():
            found.append((number, log_probs(batches[number])))
        run_dir.progress(number + 1, len(batches), phase="reference")
    if count > 1:
        found = gather_object(found)
    rows = [row for _, batch in sorted(found) for row in batch]
    if is_main():
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows
