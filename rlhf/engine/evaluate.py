"""Evaluate: a command of the machine's owner looks at a policy and writes figures.

The command stands in PLUMBLINE_EVALUATORS of the machine that runs it, never in a spec: whoever may order a run must
not choose what is executed. It gets POLICY, a model directory (base with every adapter merged, plus `plumbline.json`
with system prompt and decoding), and OUT, where it writes {"figures": {name: {"value", "se", "n"}}}.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rlhf.engine.job import Outcome
from rlhf.engine.run_dir import RunDir, Stopped, UserError
from rlhf.figures import Figures, read_figures
from rlhf.spec import EvaluateConfig, Spec, SpecError

POLL_SECONDS = 0.2


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Merge, run the command, check what it wrote. Stopped when asked to; it then starts anew."""
    config: EvaluateConfig = spec.config
    template = _template(config.evaluator)
    about = json.loads(run_dir.input("policy.json").read_text())
    policy = _policy_directory(run_dir)
    (policy / "plumbline.json").write_text(json.dumps(about, indent=1))
    work = run_dir.path / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    figures_file = work / "figures.json"
    run_dir.progress(0, 1, phase=f"evaluating by {config.evaluator}"[:80])
    _carry_out(run_dir, template, policy, figures_file, config)
    figures = _figures(figures_file)
    with run_dir.publishing() as out:
        (out / "figures.json").write_text(json.dumps({"figures": figures}, indent=1, sort_keys=True))
    shutil.rmtree(policy)
    run_dir.progress(1, 1, {name: figure["value"] for name, figure in figures.items() if figure["value"] is not None})
    return Outcome(figures=dict(figures))


def _template(name: str) -> str:
    try:
        known = json.loads(os.environ.get("PLUMBLINE_EVALUATORS") or "{}")
    except ValueError as wrong:
        raise UserError("bad_evaluators", f"PLUMBLINE_EVALUATORS is not JSON ({wrong})", "config.evaluator") from wrong
    if name not in known:
        message = f"there is no evaluator {name!r} on this machine (PLUMBLINE_EVALUATORS names them)"
        raise UserError("unknown_evaluator", message, "config.evaluator")
    return str(known[name])


def _policy_directory(run_dir: RunDir) -> Path:
    """One plain model directory: links to the base's files, or the merged model where there are adapters."""
    base, adapter = run_dir.input("base"), run_dir.optional_input("adapter")
    target = run_dir.path / "policy"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    if adapter is None:
        for path in base.iterdir():
            (target / path.name).symlink_to(path.resolve())
        return target
    from rlhf.engine.policies import load_policy, load_tokenizer

    run_dir.progress(0, 1, phase="merging the adapters")
    load_policy(base, adapter).save_pretrained(target)
    load_tokenizer(base).save_pretrained(target)
    return target


def _carry_out(run_dir: RunDir, template: str, policy: Path, out: Path, config: EvaluateConfig) -> None:
    words = [word.format(policy_dir=policy, out=out, python=sys.executable) for word in shlex.split(template)]
    environment = os.environ | {"POLICY": str(policy), "OUT": str(out)}
    try:
        child = subprocess.Popen(words, cwd=out.parent, env=environment, stdin=subprocess.DEVNULL)
    except OSError as missing:
        message = f"the evaluator's command {words[0]!r} cannot be started ({missing.strerror})"
        raise UserError("evaluator_failed", message, "config.evaluator") from missing
    try:
        code = _wait(run_dir, child, config)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if code:
        message = f"the evaluator {config.evaluator} ended with exit code {code}; the log has its words"
        raise UserError("evaluator_failed", message, "config.evaluator")


def _wait(run_dir: RunDir, child: subprocess.Popen[bytes], config: EvaluateConfig) -> int:
    end = time.monotonic() + config.timeout_seconds
    while (code := child.poll()) is None:
        if run_dir.stop_requested():
            raise Stopped
        if time.monotonic() > end:
            message = f"the evaluator {config.evaluator} was not done after {config.timeout_seconds} s"
            raise UserError("evaluator_failed", message, "config.timeout_seconds")
        time.sleep(POLL_SECONDS)
    return code


def _figures(path: Path) -> Figures:
    try:
        return read_figures(path)
    except SpecError as wrong:
        raise UserError("bad_figures", f"what the evaluator wrote is not figures: {wrong}", wrong.field) from wrong
