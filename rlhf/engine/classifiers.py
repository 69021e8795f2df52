"""A reward model that is a language model with one output: on disk, loaded, and scoring texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from rlhf.engine.chat import answer_ids
from rlhf.engine.features import Text
from rlhf.engine.policies import base_digest, device, load_tokenizer, model_dtype
from rlhf.engine.run_dir import RunDir, UserError

ABOUT, ADAPTER, MODEL = "reward.json", "adapter", "model"


def load_classifier(weights: Path, tokenizer: Any, precision: str = "auto") -> Any:
    """The model with one output in `weights`; from a base without one, its `score` layer is new and random."""
    model = AutoModelForSequenceClassification.from_pretrained(
        weights,
        num_labels=1,
        dtype=model_dtype(weights, precision),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    model.config.pad_token_id = tokenizer.pad_token_id  # where a text ends is found by what is not padding
    return model.to(device())


class Classifier:
    """A trained classifier, ready to score. `adapter` stands on the base that it names; `model` on nothing."""

    def __init__(self, run_dir: RunDir, directory: Path, batch_size: int) -> None:
        about = json.loads((directory / ABOUT).read_text())
        self.run_dir, self.batch_size, self.max_length = run_dir, batch_size, about["max_length"]
        base = run_dir.optional_input("head_base") or run_dir.input("base")
        alone = (directory / MODEL).is_dir()
        if not alone and base_digest(base) != about["base"]:
            raise UserError("wrong_base", "the reward model was trained on another base", "inputs/base")
        self.tokenizer = load_tokenizer(directory / MODEL if alone else base)
        self.model = load_classifier(directory / MODEL if alone else base, self.tokenizer)
        if not alone:
            self.model = PeftModel.from_pretrained(self.model, directory / ADAPTER).merge_and_unload()
        self.model.eval()
        self.tokens = self.truncated = self.computed = 0

    def draws(self, texts: Sequence[Text], count: int) -> np.ndarray:
        """(n, count) rewards: a classifier is an ensemble of one, so all columns are equal."""
        rows = [answer_ids(self.tokenizer, messages, content) for messages, content in texts]
        self.truncated += sum(len(ids) > self.max_length for ids in rows)
        rows = [ids[-self.max_length :] for ids in rows]
        self.tokens += sum(map(len, rows))
        self.computed += len(rows)
        rewards = score_ids(self.run_dir, self.model, rows, self.tokenizer.pad_token_id, self.batch_size)
        return np.repeat(rewards[:, None], count, axis=1)

    def counts(self, texts: int) -> dict[str, int]:
        """Row counts for the result."""
        return {"texts": texts, "computed": self.computed, "truncated": self.truncated}


@torch.inference_mode()
def score_ids(run_dir: RunDir, model: Any, rows: Sequence[list[int]], pad_id: int, batch_size: int) -> np.ndarray:
    """(n,) rewards of token ids, in batches of similar length."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    rewards = np.zeros(len(rows))
    for start in range(0, len(order), batch_size):
        run_dir.check_stop()
        some = order[start : start + batch_size]
        width = max(len(rows[row]) for row in some)
        ids = torch.tensor([rows[row] + [pad_id] * (width - len(rows[row])) for row in some], device=model.device)
        mask = torch.tensor([[1] * len(rows[row]) + [0] * (width - len(rows[row])) for row in some])
        logits = model(input_ids=ids, attention_mask=mask.to(model.device), use_cache=False).logits
        rewards[some] = logits[:, 0].float().cpu().numpy()
    return rewards
