"""The figure "how much better per human label": one loop that asks by a rule, against random asking at equal budget.

    bin/bench circle [--rounds 5] [--seeds 10] [--rule sea] [--only-draw]

Everything is real but the people: answers, heads and DPO (TRL) on the toy model, gates, alarms, the yardstick. People
are simulated by a hidden reward, wrong one time in ten, and the picture's title says so. Writes
bench/results/circle.json (after every loop, so that an interrupted run keeps what it has) and docs/images/figure.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench._common import RESULTS, ROOT, print_table, write_results
from bench._warm import warm
from rlhf.worth_figure import figure

PICTURE = ROOT / "docs" / "images" / "figure.svg"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench circle", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10, help="loops behind the curve of random asking")
    parser.add_argument("--rule", default="sea")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--home", type=Path, help="keep the loops here; a later call goes on with what is missing")
    parser.add_argument("--only-draw", action="store_true", help="draw the picture again from the stored figures")
    options = parser.parse_args()
    if not options.only_draw:
        run(options.rule, options.rounds, options.seeds, options.processes, options.home)
    figures = json.loads((RESULTS / "circle.json").read_text())["figures"]
    PICTURE.write_text(picture(figures), encoding="utf-8")
    report(figures)
    print(f"drawn to {PICTURE.relative_to(ROOT)}")


def run(rule: str, rounds: int, seeds: int, processes: int, kept: Path | None) -> None:
    """The rule's loop first, then the random ones; `processes` at a time."""
    home = kept or Path(tempfile.mkdtemp(prefix="plumbline-circle-"))
    home.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        with warm(home / "engine.sock") as launcher:
            template = home / "template"
            if not (template / "ready").exists():
                shutil.rmtree(template, ignore_errors=True)
                template.mkdir()
                child(template, launcher, "prepare")
                (template / "ready").touch()
            jobs = [(rule, 0), *(("random", seed) for seed in range(seeds))]
            with ThreadPoolExecutor(processes) as pool:
                for done in pool.map(lambda job: one(home, template, launcher, *job, rounds), jobs):
                    keep(home, done, rule, rounds, time.monotonic() - started)
    finally:
        if kept is None:
            shutil.rmtree(home, ignore_errors=True)


def one(home: Path, template: Path, launcher: str, rule: str, seed: int, rounds: int) -> str:
    own, out = home / f"{rule}-{seed}", home / f"{rule}-{seed}.json"
    if out.exists() and len(json.loads(out.read_text())["truth"]) >= rounds:
        return out.name
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(template, own, symlinks=True)
    child(own, launcher, "play", rule, str(seed), str(rounds), str(out))
    shutil.rmtree(own, ignore_errors=True)
    print(f"{rule} {seed}: done", flush=True)
    return out.name


def child(home: Path, launcher: str, *words: str) -> None:
    environment = {
        **os.environ, "PLUMBLINE_HOME": str(home), "DATABASE_URL": "", "REDIS_URL": "", "PLUMBLINE_LAUNCHER": launcher,
        "DJANGO_SETTINGS_MODULE": "config.settings", "OMP_NUM_THREADS": "1", "LOG_LEVEL": "ERROR",
    }  # fmt: skip
    command = [sys.executable, "-m", "bench._circle_loop", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")


def keep(home: Path, done: str, rule: str, rounds: int, seconds: float) -> None:
    """circle.json from all loops that are finished so far."""
    loops = [json.loads(path.read_text()) for path in sorted(home.glob("*.json")) if path.suffix == ".json"]
    whole = [loop for loop in loops if len(loop["truth"]) == rounds]
    ours = next((loop for loop in whole if loop["rule"] == rule and loop["seed"] == 0), None)
    if ours is None:
        return
    theirs = [loop for loop in whole if loop["rule"] == "random"]
    write_results(
        "circle",
        {
            "loop": ours,
            "random": curve(theirs),
            "random_seeds": len(theirs),
            "random_loops": [
                {"seed": loop["seed"], "labels": [p["labels"] for p in loop["points"]],
                 "share": [t["share"] for t in loop["truth"]], "status": [p["status"] for p in loop["points"]]}
                for loop in theirs
            ],
            "seconds": round(seconds),
        },
    )  # fmt: skip


def curve(loops: list[dict[str, Any]]) -> list[list[float]]:
    """[labels, mean win rate, standard error] of what was live after so many judgments, over the loops."""
    if not loops:
        return []
    paths = [
        ([0, *(p["labels"] for p in loop["points"])], [0.5, *(t["share"] for t in loop["truth"])]) for loop in loops
    ]
    last = min(x[-1] for x, _ in paths)
    grid = np.linspace(0, last, 25)
    shares = np.array([[y[np.searchsorted(x, g, side="right") - 1] for g in grid] for x, y in paths])
    error = shares.std(axis=0, ddof=1) / len(loops) ** 0.5 if len(loops) > 1 else np.zeros(len(grid))
    return [[round(float(g)), round(float(m), 4), round(float(e), 4)]
            for g, m, e in zip(grid, shares.mean(axis=0), error, strict=True)]  # fmt: skip


def picture(figures: dict[str, Any]) -> str:
    """The page's own SVG, with its styles inside."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.template.loader import render_to_string

    truth = [t["share"] for t in figures["loop"]["truth"]]
    drawn = figure(figures["loop"]["points"], random=figures["random"], truth=truth, simulated=True)
    context = {"f": drawn, "standalone": True, "seeds": figures["random_seeds"]}
    return render_to_string("rlhf/_worth.svg", context)


def report(figures: dict[str, Any]) -> None:
    truth = figures["loop"]["truth"]
    rows = [
        [p["round"], p["labels"], p["status"], f"{p['y']:.2f}" if p["y"] is not None else "-",
         f"{p['low']:.2f}-{p['high']:.2f}", t["share"], p["reason"]]
        for p, t in zip(figures["loop"]["points"], truth, strict=True)
    ]  # fmt: skip
    print_table(["round", "judgments", "verdict", "people", "95%", "truly (live)", "reason"], rows)
    print(f"random asking ({figures['random_seeds']} seeds):", figures["random"][-1:] or "none")
    for alarm in figures["loop"]["alarms"]:
        print(f"alarm in round {alarm['round']}: {alarm['sentence']}")


if __name__ == "__main__":
    main()
