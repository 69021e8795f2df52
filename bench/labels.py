"""How many labels each rule of asking needs, on a replay of real answers with a hidden reward.

    bin/bench labels --replay FILE [--seeds 10] [--labels 2048] [--rules random sea ...]

FILE: JSONL, gzipped or not, a prompt a line: {"prompt", "responses": [{"text", "reward" in (0, 1)}, ...]}. Votes are
drawn from the reward, a linear head learns it from static features, and what counts is how often its best of sixteen
answers beats one of the sixteen at random, on prompts that were never asked about. `label_multiple_at_random_256`:
256 over the labels with which the rule gets as far as random asking with 256.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench._common import print_table, write_results
from bench._replay import Replay, label_multiple, learn, read
from rlhf.selection_rules import RULES

LOOKS = (16, 32, 64, 128, 256, 512, 1024, 2048)
AT = 256


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench labels", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replay", type=Path, required=True, help="prompts with answers and rewards, JSONL")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--labels", type=int, default=LOOKS[-1], help="labels a rule gets, at least 256")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    options = parser.parse_args()
    if options.seeds < 1 or options.labels < AT:
        parser.error(f"--seeds is at least 1, --labels at least {AT}")
    try:
        replay = read(options.replay)
    except (OSError, ValueError) as wrong:
        parser.error(str(wrong))
    looks = [n for n in LOOKS if n <= options.labels]
    rules = ["random", *(rule for rule in options.rules if rule != "random")]
    figures = measure(replay, rules, looks, options.seeds)
    report(figures, looks)
    path = write_results("labels", {"replay": figures, "seeds": options.seeds, "file": options.replay.name})
    print(f"written to {path}")


def measure(replay: Replay, rules: list[str], looks: list[int], seeds: int) -> dict[str, Any]:
    """Per rule: {"curve": [[labels, win_rate, se], ...], "label_multiple_at_random_256", "interval", "seconds"}."""
    runs: dict[str, np.ndarray] = {}
    seconds = {}
    for rule in rules:
        started = time.perf_counter()
        runs[rule] = np.array([learn(replay, rule, looks, seed) for seed in range(seeds)])
        seconds[rule] = round(time.perf_counter() - started, 1)
    return {
        rule: {
            "curve": curve(found, looks),
            f"label_multiple_at_random_{AT}": multiple(found, runs["random"], looks, range(seeds)),
            "interval": interval(found, runs["random"], looks),
            "seconds": seconds[rule],
        }
        for rule, found in runs.items()
    }


def curve(found: np.ndarray, looks: list[int]) -> list[list[float]]:
    error = found.std(axis=0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else np.full(len(looks), np.nan)
    means = found.mean(axis=0)
    return [
        [n, round(float(m), 4), None if np.isnan(e) else round(float(e), 4)]
        for n, m, e in zip(looks, means, error, strict=True)
    ]


def multiple(found: np.ndarray, random: np.ndarray, looks: list[int], seeds: Any) -> float | None:
    """The label multiple of mean curves over `seeds` (numbers of rows, with repeats in a bootstrap)."""
    rows = np.asarray(list(seeds))
    ours, theirs = found[rows].mean(axis=0), random[rows].mean(axis=0)
    pairs = [list(zip(looks, values.tolist(), strict=True)) for values in (ours, theirs)]
    return label_multiple(pairs[0], pairs[1], AT)


def interval(found: np.ndarray, random: np.ndarray, looks: list[int]) -> list[float | None]:
    """95% bootstrap interval of the multiple over seeds; never reached counts as 0."""
    rng = np.random.default_rng(0)
    draws = [multiple(found, random, looks, rng.integers(len(found), size=len(found))) or 0.0 for _ in range(400)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return [round(float(low), 2), round(float(high), 2)]


def report(figures: dict[str, Any], looks: list[int]) -> None:
    rows = [
        [
            rule,
            *(f"{rate:.3f}" for _, rate, _ in found["curve"]),
            found[f"label_multiple_at_random_{AT}"],
            found["interval"],
        ]
        for rule, found in figures.items()
    ]
    print_table(["rule", *map(str, looks), f"multiple at {AT}", "95%"], rows)


if __name__ == "__main__":
    main()
