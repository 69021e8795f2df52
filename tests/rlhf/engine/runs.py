"""Run directories as a supervisor would make them, and ways to set an engine to work on one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlhf.tiny_corpus import RUDE, _all_tasks

ROOT = Path(__file__).resolve().parents[3]


def make_run(path: Path, kind: str, config: dict[str, Any], **inputs: Path) -> Path:
    """A run directory with its spec; inputs become symlinks (`pairs_jsonl` stands for pairs.jsonl)."""
    (path / "inputs").mkdir(parents=True)
    spec = {"kind": kind, "run": path.name, "attempt": 1, "seed": 3, "config": config}
    (path / "spec.json").write_text(json.dumps(spec))
    for name, target in inputs.items():
        (path / "inputs" / name.replace("_jsonl", ".jsonl")).symlink_to(target)
    return path


def work(run_dir: Path) -> int:
    """The engine's exit code, in this process."""
    from rlhf.engine.job import main

    return main([str(run_dir)])


def start(run_dir: Path, **env: str) -> subprocess.Popen[bytes]:
    """The engine as a child process with a pipe for its standard input."""
    command = [sys.executable, "-m", "rlhf.engine", str(run_dir)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdin=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Until the condition holds; fails loudly when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def result(run_dir: Path) -> dict[str, Any]:
    """result.json."""
    data: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    return data


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prompt_rows(count: int, draws: int = 1) -> list[dict[str, Any]]:
    """Rows of prompts.jsonl from the toy world."""
    prompts = [prompt for prompt, _, _ in _all_tasks()[:: len(_all_tasks()) // count][:count]]
    return [
        {"prompt": f"{i:03}", "messages": [{"role": "user", "content": text}], "draws": list(range(draws))}
        for i, text in enumerate(prompts)
    ]


def polite_pairs(count: int) -> list[dict[str, Any]]:
    """Rows of pairs.jsonl in which the good answer beats a rude one."""
    rng = random.Random(1)
    return [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": good(rng)}],
            "rejected": [{"role": "assistant", "content": rng.choice(RUDE)}],
            "target": 0.95,
            "weight": 1.0,
        }
        for prompt, good, _ in rng.sample(_all_tasks(), count)
    ]
