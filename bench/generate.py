"""Answers by our decoding against plain `transformers` `generate` at batch 8: the same model, prompts and settings.

    bin/bench generate [--prompts 96] [--tokens 96] [--model DIR] [--quick]

Plain is what a script does: batches of 8 in the order given, padded on the left, `generate(do_sample=True, ...)`. Both
sides use the number format in which this processor multiplies faster. Ours is what a run of kind `generate` does:
prompts sorted by length, 64 answers a batch, finished rows leave. Tokens count up to and with the end of an answer.
That both draw from the same distribution is checked on the model's own logits: the probabilities that our nucleus gives
to tokens against those that transformers' temperature and top-p processors leave.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bench._common import ROOT, print_table, write_results

PLAIN_BATCH, OURS_BATCH = 8, 64
TEMPERATURE, TOP_P = 0.7, 0.9
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench generate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=96, help="budget of an answer")
    parser.add_argument("--model", type=Path, help="a model directory; made from the starter model's wheel without it")
    parser.add_argument("--quick", action="store_true", help="16 prompts, nothing written")
    options = parser.parse_args()
    count = 16 if options.quick else options.prompts
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        model = options.model.resolve() if options.model else convert(Path(folder))
        figures = measure(model, prompts(count), options.tokens)
    report(figures)
    if not options.quick:
        print(f"written to {write_results('generate', figures)}")


def convert(folder: Path) -> Path:
    """The starter model, from its wheel."""
    run_dir = folder / "model"
    (run_dir / "inputs").mkdir(parents=True)
    spec = {"kind": "convert", "run": "bench", "attempt": 1, "seed": 0, "config": {}}
    (run_dir / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-m", "rlhf.engine", str(run_dir)], check=True, cwd=ROOT)
    return run_dir / "out"


def prompts(count: int) -> list[list[dict[str, str]]]:
    """Conversations of the demo, spread over the file."""
    rows = [json.loads(line) for line in (ROOT / "demo" / "prompts.jsonl").read_text().splitlines() if line.strip()]
    talks = [row.get("messages") or [{"role": "user", "content": row["prompt"]}] for row in rows]
    return talks[:: max(1, len(talks) // count)][:count]


def measure(path: Path, talks: list[list[dict[str, str]]], tokens: int) -> dict[str, Any]:
    from rlhf.engine.chat import prompt_ids
    from rlhf.engine.generate import Wish, sample
    from rlhf.engine.job import _prepare_libraries
    from rlhf.engine.policies import load_policy, load_tokenizer
    from rlhf.spec import Decoding

    _prepare_libraries(SEED)
    model, tokenizer = load_policy(path), load_tokenizer(path)
    decoding = Decoding(TEMPERATURE, TOP_P, tokens)
    wishes = [Wish(str(n), 0, tuple(prompt_ids(tokenizer, talk)), talk) for n, talk in enumerate(talks)]
    plain(model, tokenizer, wishes[:2], 8)  # both warm

    def ours(size: int) -> tuple[float, list[int]]:
        began, lengths = time.perf_counter(), []
        ordered = sorted(wishes, key=lambda wish: len(wish.ids))
        for start in range(0, len(ordered), size):
            answers = sample(model, tokenizer, ordered[start : start + size], decoding, SEED + start)
            lengths += [answer[0].completion_tokens for answer in answers]
        return time.perf_counter() - began, lengths

    began = time.perf_counter()
    plain_lengths = plain(model, tokenizer, wishes, tokens)
    sides = {"plain, batch 8": (time.perf_counter() - began, plain_lengths)}
    sides["ours, batch 8"] = ours(PLAIN_BATCH)
    sides[f"ours, batch {OURS_BATCH}"] = ours(OURS_BATCH)
    figures = {name: summary(*found) for name, found in sides.items()}
    own, other = figures[f"ours, batch {OURS_BATCH}"], figures["plain, batch 8"]
    return {
        "sides": figures,
        "speedup": round(own["tokens_per_second"] / other["tokens_per_second"], 2),
        "speedup_at_batch_8": round(
            figures["ours, batch 8"]["tokens_per_second"] / other["tokens_per_second"], 2
        ),
        "length_difference_in_se": round(
            abs(own["mean_length"] - other["mean_length"]) / sqrt(own["se"] ** 2 + other["se"] ** 2), 2
        ),
        "distribution": same_distribution(model, tokenizer, wishes[:16], decoding),
        "settings": {"prompts": len(wishes), "tokens": tokens, "temperature": TEMPERATURE, "top_p": TOP_P,
                     "dtype": str(model.dtype)},
    }  # fmt: skip


def plain(model: Any, tokenizer: Any, wishes: list[Any], tokens: int) -> list[int]:
    """Lengths of the answers by `generate`, in batches of 8 as they come."""
    import torch

    torch.manual_seed(SEED)
    stop, lengths = tokenizer.eos_token_id, []
    for start in range(0, len(wishes), PLAIN_BATCH):
        rows = [list(wish.ids) for wish in wishes[start : start + PLAIN_BATCH]]
        width = max(map(len, rows))
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0,
                max_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id,
            )[:, width:].tolist()  # fmt: skip
        lengths += [row.index(stop) + 1 if stop in row else len(row) for row in out]
    return lengths


def summary(seconds: float, lengths: list[int]) -> dict[str, float]:
    return {
        "seconds": round(seconds, 2),
        "tokens": sum(lengths),
        "tokens_per_second": round(sum(lengths) / seconds, 1),
        "mean_length": round(fmean(lengths), 1),
        "se": round(stdev(lengths) / sqrt(len(lengths)), 2),
    }


def same_distribution(model: Any, tokenizer: Any, wishes: list[Any], decoding: Any) -> dict[str, float]:
    """Greatest total variation between our nucleus and transformers' processors, over the prompts' next tokens."""
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    from rlhf.engine.decode import nucleus

    worst = 0.0
    with torch.inference_mode():
        for wish in wishes:
            logits = model(input_ids=torch.tensor([wish.ids]), logits_to_keep=1).logits[:, -1].float()
            theirs = TopPLogitsWarper(TOP_P)(None, TemperatureLogitsWarper(TEMPERATURE)(None, logits)).softmax(-1)
            places, cumulated, kept = nucleus(logits / decoding.temperature, decoding.top_p)
            share = torch.diff(cumulated[:, : int(kept)], prepend=torch.zeros(1, 1)) / cumulated[:, int(kept) - 1]
            mine = torch.zeros_like(theirs).scatter(-1, places[:, : int(kept)], share)
            worst = max(worst, float((mine - theirs).abs().sum() / 2))
    return {"prompts": len(wishes), "total_variation": round(worst, 7)}


def report(figures: dict[str, Any]) -> None:
    rows = [
        (name, f["tokens_per_second"], f["seconds"], f["tokens"], f"{f['mean_length']} +- {f['se']}")
        for name, f in figures["sides"].items()
    ]
    print_table(("", "tokens/s", "seconds", "tokens", "mean length"), rows)
    print(
        f"speedup {figures['speedup']}x ({figures['speedup_at_batch_8']}x at batch 8), {figures['settings']['dtype']}"
    )
    print(f"same distribution: total variation at most {figures['distribution']['total_variation']}")


if __name__ == "__main__":
    main()
