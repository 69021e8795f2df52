"""How far a policy has moved from a reference: KL(policy | reference) = E_policy[log pi - log ref], in nats.

Answers are sampled from the policy itself at temperature 1 without top-p (any other sampling measures something
else), one a prompt; both models then read the same tokens, the stop token included. The two are loaded one after
the other. Answers that run out of tokens are cut off there and counted: their tail is missing from the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from feedback.stats.estimates import Z95
from feedback.stats.noninferiority import clustered_mean
from rlhf.engine.chat import prompt_ids, with_system
from rlhf.engine.decode import decode, stop_tokens
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.run_dir import RunDir, append_line, read_rows
from rlhf.spec import Decoding, KlConfig, Spec

Ids = list[int]


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """out/kl.jsonl: {"prompt", "group", "nats", "tokens", "truncated"} a prompt of inputs/prompts.jsonl."""
    config: KlConfig = spec.config
    base, rows = run_dir.input("base"), read_rows(run_dir.input("prompts.jsonl"), ("prompt", "messages"))
    tokenizer = load_tokenizer(base)
    prompts = [prompt_ids(tokenizer, with_system(row["messages"], config.system_prompt)) for row in rows]
    policy = load_policy(base, run_dir.optional_input("adapter"))
    stops = stop_tokens(policy, tokenizer)
    answers = _sample(run_dir, policy, prompts, config, tokenizer.pad_token_id, stops, spec.seed)
    own = log_probabilities(policy, prompts, answers, config.batch_size, tokenizer.pad_token_id)
    del policy
    run_dir.check_stop()
    reference = load_policy(base, run_dir.optional_input("reference_adapter"))
    theirs = log_probabilities(reference, prompts, answers, config.batch_size, tokenizer.pad_token_id)
    found = [
        {"prompt": row["prompt"], "group": row.get("group") or row["prompt"], "nats": round(a - b, 6),
         "tokens": len(ids), "truncated": ids[-1] not in stops}
        for row, ids, a, b in zip(rows, answers, own, theirs, strict=True)
    ]  # fmt: skip
    with run_dir.publishing() as out:
        for row in found:
            append_line(out / "kl.jsonl", row)
    counts = {"answers": len(found), "truncated": sum(row["truncated"] for row in found)}
    return Outcome(kl_figures(found), counts, sum(map(len, answers)))


def _sample(
    run_dir: RunDir, policy: Any, prompts: list[Ids], config: KlConfig, pad: int, stops: set[int], seed: int
) -> list[Ids]:
    decoding = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=config.max_new_tokens)
    answers: list[Ids] = []
    for start in range(0, len(prompts), config.batch_size):
        run_dir.check_stop()
        batch = prompts[start : start + config.batch_size]
        answers += decode(policy, batch, decoding, pad, stops, seed + start)
        run_dir.progress(len(answers), len(prompts), phase="sampling")
    return answers


@torch.inference_mode()
def log_probabilities(
    model: Any, prompts: Sequence[Ids], answers: Sequence[Ids], batch_size: int, pad: int
) -> list[float]:
    """log P(answer | prompt) of each pair, summed over the answer's tokens."""
    sums: list[float] = []
    for start in range(0, len(prompts), batch_size):
        batch = list(zip(prompts[start : start + batch_size], answers[start : start + batch_size], strict=True))
        width = max(len(p) + len(a) for p, a in batch)
        ids = torch.tensor([p + a + [pad] * (width - len(p) - len(a)) for p, a in batch], device=model.device)
        mask = torch.tensor([[1] * (len(p) + len(a)) + [0] * (width - len(p) - len(a)) for p, a in batch])
        logits = model(input_ids=ids, attention_mask=mask.to(model.device)).logits
        for row, (p, a) in enumerate(batch):
            place = slice(len(p) - 1, len(p) + len(a) - 1)
            law = logits[row, place].float().log_softmax(-1)
            sums.append(float(law.gather(-1, ids[row, len(p) : len(p) + len(a), None]).sum()))
    return sums


def kl_figures(rows: Sequence[dict[str, Any]]) -> dict[str, object]:
    """{"answer", "token": {"value", "low", "high"}, "n", "truncated"}: nats, intervals clustered by prompt group.

    Nats a token is a ratio of means; its interval is that of the residuals nats - ratio * tokens.
    """
    nats, tokens = (np.array([row[key] for row in rows], dtype=float) for key in ("nats", "tokens"))
    groups = [row["group"] for row in rows]
    if len(rows) < 2:
        return {"answer": None, "token": None, "n": len(rows), "truncated": None}
    ratio = float(nats.sum() / max(tokens.sum(), 1))
    _, error, _ = clustered_mean(nats - ratio * tokens, groups)
    mean, spread, _ = clustered_mean(nats, groups)
    return {
        "answer": _interval(mean, spread),
        "token": _interval(ratio, error / max(float(tokens.mean()), 1.0)),
        "n": len(rows),
        "truncated": round(float(np.mean([row["truncated"] for row in rows])), 4),
    }


def _interval(value: float, error: float) -> dict[str, float | None]:
    known = bool(np.isfinite(error))
    return {
        "value": round(value, 6),
        "low": round(value - Z95 * error, 6) if known else None,
        "high": round(value + Z95 * error, 6) if known else None,
    }
