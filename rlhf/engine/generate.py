"""Sampling answers from a policy: length-sorted batches, each with a seed of its own, resumable by batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlhf.engine.chat import Messages, prompt_ids, with_system
from rlhf.engine.decode import decode, stop_tokens
from rlhf.engine.job import Outcome
from rlhf.engine.policies import load_policy, load_tokenizer
from rlhf.engine.run_dir import RunDir, append_line, read_lines, read_rows
from rlhf.spec import Decoding, GenerateConfig, Spec


@dataclass(frozen=True)
class Wish:
    """One answer to draw: the prompt's key, the draw's number, the tokens to continue."""

    prompt: str
    draw: int
    ids: tuple[int, ...]
    messages: Messages


@dataclass(frozen=True)
class Answer:
    """One answer drawn."""

    prompt: str
    draw: int
    content: str
    finish_reason: str  # stop, or length when the budget of tokens ran out
    prompt_tokens: int
    completion_tokens: int


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Answer every (prompt, draw) of inputs/prompts.jsonl; finished batches are kept through a restart."""
    config: GenerateConfig = spec.config
    base = run_dir.input("base")
    tokenizer = load_tokenizer(base)
    wishes, dropped = _wishes(run_dir, tokenizer, config)
    batches = list(_batches(wishes, config, spec.seed))
    done = {row["batch"]: row["answers"] for row in read_lines(_part_file(run_dir))}
    if any(key not in done for key, _ in batches):
        _work_off(run_dir, spec, tokenizer, batches, done)
    answers = [answer for key, _ in batches for answer in done[key]]
    _publish(run_dir, answers)
    return _outcome(answers, dropped)


def _part_file(run_dir: RunDir) -> Path:
    return run_dir.checkpoints / "batches.jsonl"


def _wishes(run_dir: RunDir, tokenizer: Any, config: GenerateConfig) -> tuple[list[Wish], int]:
    """The answers to draw, shortest prompt first, and how many prompts leave no room for an answer."""
    wishes, dropped = [], 0
    room = context_length(run_dir.input("base")) - config.decoding.max_new_tokens
    for row in read_rows(run_dir.input("prompts.jsonl"), ("prompt", "messages")):
        ids = tuple(prompt_ids(tokenizer, with_system(row["messages"], config.system_prompt)))
        draws = row.get("draws", [0])
        if len(ids) > room:
            dropped += len(draws)
            continue
        wishes += [Wish(row["prompt"], draw, ids, row["messages"]) for draw in draws]
    return sorted(wishes, key=lambda wish: (len(wish.ids), wish.prompt, wish.draw)), dropped


def context_length(base: Path) -> int:
    """How many tokens the model's positions cover."""
    length: int = json.loads((base / "config.json").read_text()).get("max_position_embeddings", 2048)
    return length


def _batches(wishes: list[Wish], config: GenerateConfig, seed: int) -> Iterator[tuple[str, list[Wish]]]:
    """Batches with a key made of everything that decides their content; the key seeds the sampling too."""
    size = max(1, config.batch_size // config.decoding.best_of)
    for start in range(0, len(wishes), size):
        batch = wishes[start : start + size]
        content = [seed, asdict(config.decoding), config.penalty, [(w.prompt, w.draw, w.ids) for w in batch]]
        yield hashlib.sha256(json.dumps(content).encode()).hexdigest(), batch


def _work_off(
    run_dir: RunDir, spec: Spec, tokenizer: Any, batches: list[tuple[str, list[Wish]]], done: dict[str, Any]
) -> None:
    """Draw the batches that are not done yet, and note each one in the part file."""
    config: GenerateConfig = spec.config
    model = load_policy(run_dir.input("base"), run_dir.optional_input("adapter"))
    judge = _judge(run_dir, config)
    for number, (key, batch) in enumerate(batches, start=1):
        if key not in done:
            run_dir.check_stop()
            candidates = sample(model, tokenizer, batch, config.decoding, int(key[:8], 16))
            done[key] = [asdict(answer) for answer in judge(batch, candidates)]
            append_line(_part_file(run_dir), {"batch": key, "answers": done[key]})
        run_dir.progress(number, len(batches))


def _judge(run_dir: RunDir, config: GenerateConfig) -> Any:
    """What picks one answer a wish: the only one, or the head's favourite by mean - penalty * sd."""
    if config.decoding.best_of == 1:
        return lambda batch, candidates: [choice[0] for choice in candidates]
    from rlhf.engine.score import BestOf

    return BestOf(run_dir, config.penalty)


def sample(model: Any, tokenizer: Any, batch: list[Wish], decoding: Decoding, seed: int) -> list[list[Answer]]:
    """`best_of` answers for each wish, drawn in one batch from a seed of its own."""
    wishes = [wish for wish in batch for _ in range(decoding.best_of)]
    stops = stop_tokens(model, tokenizer)
    drawn = decode(model, [wish.ids for wish in wishes], decoding, tokenizer.pad_token_id, stops, seed)
    answers = [_answer(tokenizer, wish, ids, stops) for wish, ids in zip(wishes, drawn, strict=True)]
    return [answers[i : i + decoding.best_of] for i in range(0, len(answers), decoding.best_of)]


def _answer(tokenizer: Any, wish: Wish, ids: list[int], stops: set[int]) -> Answer:
    finished = ids[-1] in stops
    content = tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True).strip()
    return Answer(wish.prompt, wish.draw, content, "stop" if finished else "length", len(wish.ids), len(ids))


def _publish(run_dir: RunDir, answers: list[dict[str, Any]]) -> None:
    """out/responses.jsonl, in the order of prompt and draw whatever the batches were."""
    answers.sort(key=lambda answer: (answer["prompt"], answer["draw"]))
    with run_dir.publishing() as out, (out / "responses.jsonl").open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)


def _outcome(answers: list[dict[str, Any]], dropped: int) -> Outcome:
    tokens = sum(answer["completion_tokens"] for answer in answers)
    cut = sum(answer["finish_reason"] == "length" for answer in answers)
    empty = sum(not answer["content"] for answer in answers)
    figures = {"finish_rate": round(1 - cut / len(answers), 6) if answers else None}
    rows = {"answers": len(answers), "dropped": dropped, "truncated": cut, "empty": empty}
    return Outcome(figures=figures, rows=rows, tokens=tokens)
