"""What a policy under training says to a few fixed dev prompts: before the first step, at checkpoints, at the end."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from rlhf.engine.chat import prompt_ids, with_system
from rlhf.engine.decode import decode, stop_tokens
from rlhf.engine.features import last_user_turn
from rlhf.engine.run_dir import RunDir, append_line, is_main, read_lines, read_rows
from rlhf.engine.training import processes, wait_for_all
from rlhf.spec import Decoding, PolicyConfig

GREEDY = Decoding(temperature=0.0, max_new_tokens=64)
FILE = "samples.jsonl"


def answers(run_dir: RunDir) -> list[dict[str, Any]]:
    """RUN_DIR/samples.jsonl: {"step", "prompt", "content", "tokens"}; after a resume the later answer wins."""
    found = {(row["step"], row["prompt"]): row for row in read_lines(run_dir.path / FILE)}
    return [found[key] for key in sorted(found)]


class SampleAnswers(TrainerCallback):
    """Greedy answers to the rows of inputs/samples.jsonl (none where there is no such file), and their length."""

    def __init__(self, run_dir: RunDir, config: PolicyConfig, tokenizer: Any) -> None:
        self.run_dir, self.tokenizer, self.total = run_dir, tokenizer, config.max_steps
        path = run_dir.optional_input(FILE)
        rows = read_rows(path, ("messages",)) if path else []
        self.prompts = [last_user_turn(row["messages"]) for row in rows]
        self.ids = [prompt_ids(tokenizer, with_system(row["messages"], config.system_prompt)) for row in rows]

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        """Step 0, where training starts afresh."""
        if state.global_step == 0:
            self._answer(model, 0)

    def on_save(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        """At each checkpoint; the last step has one too."""
        self._answer(model, state.global_step)

    def _answer(self, model: Any, step: int) -> None:
        if self.ids and is_main():
            model = getattr(model, "module", model)
            training = model.training
            model.eval()
            with torch.inference_mode():
                said = decode(
                    model, self.ids, GREEDY, self.tokenizer.pad_token_id, stop_tokens(model, self.tokenizer), 0
                )
            model.train(training)
            for prompt, ids in zip(self.prompts, said, strict=True):
                content = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
                row = {"step": step, "prompt": prompt, "content": content, "tokens": len(ids)}
                append_line(self.run_dir.path / FILE, row)
            mean = sum(map(len, said)) / len(said)
            self.run_dir.progress(step, self.total, {"length": round(mean, 2)}, phase="samples")
        if processes() > 1:
            wait_for_all()
