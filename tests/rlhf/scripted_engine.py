"""An engine whose deeds stand in a script: the launcher template of the run tests points here.

    python scripted_engine.py RUN_DIR

RUN_DIR/script.json holds {"exit", "progress", "seconds", "error", "crash_until", "progress_before_crash", "says",
"raw_progress", "no_output", "signal", "hold", "ignore_stop", "weights",
"exit_json", "samples"}, all optional.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from pathlib import Path


def main(folder: Path) -> int:
    script = json.loads((folder / "script.json").read_text())
    spec = json.loads((folder / "spec.json").read_text())
    if script.get("hold"):
        held = (folder / "lock").open("a+")
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        report(folder, spec["attempt"], 9, {})
        while True:  # whoever started us is gone, and we go on all the same
            time.sleep(0.02)
    if spec["attempt"] <= script.get("crash_until", 0):
        if script.get("progress_before_crash"):
            report(folder, spec["attempt"], 9, {})
        print(script.get("says", ""), file=sys.stderr)
        if script.get("signal"):
            os.kill(os.getpid(), script["signal"])
        return 1
    if script.get("raw_progress"):
        with (folder / "progress.jsonl").open("a") as stream:
            stream.write(script["raw_progress"])
    for step, metrics in enumerate(script.get("progress", []), start=1):
        report(folder, step, len(script["progress"]), metrics)
    if script.get("samples"):
        (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in script["samples"]))
    if "exit_json" in script:
        (folder / "exit.json").write_text(json.dumps(script["exit_json"]))
    end = time.monotonic() + script.get("seconds", 0)
    while time.monotonic() < end:
        if (folder / "stop").exists() and not script.get("ignore_stop"):
            return 10
        time.sleep(0.02)
    if script.get("error"):
        (folder / "error.json").write_text(json.dumps(script["error"]))
        return 20
    if not script.get("no_output"):
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out" / "weights.txt").write_text(script.get("weights", "w"))
        (folder / "result.json").write_text(json.dumps({"figures": {"loss": 1.5}, "seconds": 0.1}))
    return int(script.get("exit", 0))


def report(folder: Path, step: int, total: int, metrics: dict[str, float]) -> None:
    row = {"step": step, "total": total, "at": time.time(), "metrics": metrics}
    with (folder / "progress.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
