"""From RUN_DIR to an exit code: lock, check the spec, run the kind's function, write how it went."""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from rlhf.engine.run_dir import Locked, RunDir, Stopped, UserError, is_main
from rlhf.spec import (
    EXIT_DONE,
    EXIT_LOCKED,
    EXIT_STOPPED,
    EXIT_USER_ERROR,
    KINDS,
    POLICY_KINDS,
    Spec,
    SpecError,
    load_spec,
)

REPORTED_PACKAGES = ("torch", "transformers", "peft", "trl", "tokenizers", "numpy", "scipy")


@dataclass
class Outcome:
    """What a kind's function found: figures by name, row counts (with `dropped`, `truncated`), tokens handled,
    optimizer steps, how many processes shared the work, and sample answers {"step", "prompt", "content"}."""

    figures: dict[str, object] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    steps: int = 0
    processes: int = 1
    samples: list[dict[str, object]] = field(default_factory=list)


Work = Callable[[RunDir, Spec], Outcome]


def main(argv: list[str]) -> int:
    """Run the job of the one directory named; the return value is the exit code."""
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        print("usage: python -m rlhf.engine RUN_DIR   (a directory with spec.json)", file=sys.stderr)
        return EXIT_USER_ERROR
    if os.environ.get("PLUMBLINE_SUPERVISED") == "1":
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
    run_dir = RunDir(Path(argv[0]).resolve())
    try:
        with run_dir.locked():
            code = _work(run_dir)
            _tell(run_dir, code)
            return code
    except Locked:
        print(f"another engine works in {argv[0]}", file=sys.stderr)
        return EXIT_LOCKED


def _end_with_supervisor() -> None:
    """Leave as soon as the supervisor's end of our standard input closes: nobody would read the result."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _tell(run_dir: RunDir, code: int) -> None:
    """exit.json: the code and the attempt that it belongs to, since torchrun turns every code but 0 into 1."""
    if not is_main() and code == EXIT_DONE:
        return
    try:
        attempt = json.loads((run_dir.path / "spec.json").read_text()).get("attempt")
    except (OSError, ValueError, AttributeError):
        attempt = None
    run_dir.write_json("exit.json", {"code": code, "attempt": attempt})


def _work(run_dir: RunDir) -> int:
    if (run_dir.path / "result.json").exists():
        return EXIT_DONE  # an earlier attempt finished; doing it again could only differ
    if is_main():
        (run_dir.path / "error.json").unlink(missing_ok=True)
    try:
        spec = load_spec(run_dir.path / "spec.json")
        run_dir.check_stop()
        if not (is_main() or shares_work(spec)):
            return EXIT_DONE
        _finish(run_dir, spec)
    except Stopped:
        return EXIT_STOPPED
    except SpecError as error:
        return _user_error(run_dir, UserError("bad_spec", str(error), error.field))
    except UserError as error:
        return _user_error(run_dir, error)
    return EXIT_DONE


def _finish(run_dir: RunDir, spec: Spec) -> None:
    started = time.monotonic()
    run_dir.checkpoints.mkdir(exist_ok=True)
    _prepare_libraries(spec.seed)
    outcome = _function_of(spec.kind)(run_dir, spec)
    if not is_main():
        return
    result = {
        "kind": spec.kind,
        "attempt": spec.attempt,
        "figures": outcome.figures,
        "rows": {"dropped": 0, "truncated": 0} | outcome.rows,
        "seconds": round(time.monotonic() - started, 3),
        "tokens": outcome.tokens,
        "steps": outcome.steps,
        "processes": outcome.processes,
        "samples": outcome.samples,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "versions": {name: metadata.version(name) for name in REPORTED_PACKAGES},
    }
    run_dir.write_json("result.json", result)


def shares_work(spec: Spec) -> bool:
    """Whether several processes of a launcher share this job; otherwise the first does it, the others leave."""
    return spec.kind in POLICY_KINDS or (spec.kind == "reward" and spec.config.method != "head")


def _function_of(kind: str) -> Work:
    """The function `run` of the module that carries the kind's name (loaded late: torch is heavy)."""
    assert kind in KINDS
    work: Work = importlib.import_module(f"rlhf.engine.{kind}").run
    return work


def _prepare_libraries(seed: int) -> None:
    """No network, no bars, one seed for every generator.

    Threads that wait must sleep: spinning ones, OpenMP's default, made a step 14 times slower as soon as two
    engines shared two cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the same waste: a head took 8 times the CPU with two
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_PROGRESS_BARS="1")
    os.environ.update(TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1", HF_HUB_DISABLE_TELEMETRY="1")
    warnings.filterwarnings("ignore", category=FutureWarning)  # notes from one library to another
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _user_error(run_dir: RunDir, error: UserError) -> int:
    run_dir.write_json("error.json", {"code": error.code, "message": error.message, "field": error.field})
    print(f"{error.code}: {error.message}", file=sys.stderr)
    return EXIT_USER_ERROR
