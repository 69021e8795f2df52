"""Frozen features of (conversation, answer): a middle layer's hidden state at the answer's last token.

Middle layers carry the preference signal better than the last one, so the model is cut off after the layer that
is read. Vectors are cached by content: `inputs/cache` when the supervisor gives one, else the checkpoints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from feedback.stats.style import STYLE_NAMES, style_features
from rlhf.engine.chat import Messages, answer_ids
from rlhf.engine.job import Outcome
from rlhf.engine.policies import base_digest, device, load_tokenizer, model_dtype
from rlhf.engine.run_dir import RunDir, UserError, read_rows
from rlhf.spec import FeaturesConfig, Spec

Text = tuple[Messages, str]  # a conversation and the answer to it
SHARD = 8  # batches that are computed between two writes of the cache


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """out/features.npy (n, hidden) float32 and out/ids.json, in the order of inputs/texts.jsonl."""
    config: FeaturesConfig = spec.config
    rows = read_rows(run_dir.input("texts.jsonl"), ("id", "messages", "content"))
    extractor = Extractor(run_dir, config.layer, config.batch_size, config.max_length)
    hidden = extractor.hidden([(row["messages"], row["content"]) for row in rows])
    with run_dir.publishing() as out:
        np.save(out / "features.npy", hidden)
        (out / "ids.json").write_text(json.dumps([row["id"] for row in rows]))
    figures = {"layer": extractor.layer, "base": extractor.digest}
    return Outcome(figures, extractor.counts(len(rows)), extractor.tokens)


def text_key(text: Text) -> str:
    """sha256 of the canonical (messages, content): the name of a vector in the cache."""
    return hashlib.sha256(json.dumps(text, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def feature_names(width: int) -> list[str]:
    """Names of the columns of `Extractor.features` for a hidden size of `width`."""
    return [f"hidden {i}" for i in range(width)] + list(STYLE_NAMES)


class Extractor:
    """Features from one base and one layer, through one cache. The model is loaded at the first miss."""

    def __init__(
        self, run_dir: RunDir, layer: int | None, batch_size: int, max_length: int, base: Path | None = None
    ) -> None:
        self.run_dir, self.batch_size, self.max_length = run_dir, batch_size, max_length
        self.base = base or run_dir.input("base")
        self.digest = base_digest(self.base)
        self.layer = layer or default_layer(self.base)
        root = run_dir.optional_input("cache") or run_dir.checkpoints
        self.cache = Cache(root / f"{self.digest[:16]}-layer{self.layer}-max{max_length}")
        self.tokens = self.truncated = self.computed = 0
        self._tokenizer: Any = None
        self._model: Any = None

    def features(self, texts: Sequence[Text]) -> np.ndarray:
        """(n, hidden + style) float64: what a reward head is fitted on."""
        styles = [style_features(last_user_turn(messages), content) for messages, content in texts]
        return np.hstack([self.hidden(texts).astype(float), np.array(styles).reshape(len(texts), -1)])

    def hidden(self, texts: Sequence[Text]) -> np.ndarray:
        """(n, hidden) float32. New texts are computed in batches of similar length."""
        keys = [text_key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.cache}
        if missing:
            self._compute(missing)
        if not keys:
            return np.zeros((0, 0), dtype=np.float32)
        return np.stack([self.cache[key] for key in keys])

    def counts(self, texts: int) -> dict[str, int]:
        """Row counts for the result: texts asked for, computed here, and cut to `max_length` tokens."""
        return {"texts": texts, "computed": self.computed, "truncated": self.truncated}

    def _compute(self, missing: dict[str, Text]) -> None:
        self._load()
        rows = [(key, answer_ids(self._tokenizer, *text)) for key, text in missing.items()]
        rows.sort(key=lambda row: (len(row[1]), row[0]))
        batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        for number, batch in enumerate(batches, start=1):
            self.run_dir.check_stop()
            self.cache.add([key for key, _ in batch], self._forward([ids for _, ids in batch]))
            if number % SHARD == 0 or number == len(batches):
                self.cache.flush()
            self.run_dir.progress(number, len(batches), phase="features")
        self.computed += len(rows)

    def _load(self) -> None:
        if self._model is None:
            self._tokenizer = load_tokenizer(self.base)
            self._model = load_layers(self.base, self.layer)

    @torch.inference_mode()
    def _forward(self, rows: list[list[int]]) -> np.ndarray:
        """(batch, hidden) float32 of the last token of each row; too long rows keep their end."""
        self.truncated += sum(len(ids) > self.max_length for ids in rows)
        rows = [ids[-self.max_length :] for ids in rows]
        self.tokens += sum(map(len, rows))
        width = max(map(len, rows))
        ids = torch.tensor([row + [self._tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        where = self._model.device
        states = self._model(input_ids=ids.to(where), attention_mask=mask.to(where), use_cache=False)
        last = torch.tensor([len(row) - 1 for row in rows], device=where)
        picked = states.last_hidden_state[torch.arange(len(rows), device=where), last]
        values: np.ndarray = picked.float().cpu().numpy()
        return values


def last_user_turn(messages: Messages) -> str:
    """What the person asked last."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def default_layer(base: Path) -> int:
    """Two thirds of the depth (20 of 30), where preferences are read best."""
    return max(1, round(AutoConfig.from_pretrained(base).num_hidden_layers * 2 / 3))


def load_layers(base: Path, layer: int) -> Any:
    """The model without head, cut off after `layer` layers, its last norm taken out."""
    depth = AutoConfig.from_pretrained(base).num_hidden_layers
    if not 1 <= layer <= depth:
        raise UserError("bad_layer", f"the base has {depth} layers, {layer} was asked for", "config.layer")
    model = AutoModel.from_pretrained(
        base,
        num_hidden_layers=layer,
        dtype=model_dtype(base),
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    model.norm = torch.nn.Identity()
    return model.to(device()).eval()


class Cache:
    """Vectors by content key in `.npz` shards, each written in one move, so that many jobs may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._vectors: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        for shard in sorted(path.glob("*.npz")):
            with np.load(shard, allow_pickle=False) as arrays:
                self._vectors.update(zip(arrays["keys"].tolist(), arrays["vectors"], strict=True))

    def __contains__(self, key: str) -> bool:
        return key in self._vectors

    def __getitem__(self, key: str) -> np.ndarray:
        return self._vectors[key]

    def add(self, keys: Iterable[str], vectors: np.ndarray) -> None:
        """Remember vectors (n, hidden) until the next flush."""
        self._new.update(zip(keys, vectors, strict=True))

    def flush(self) -> None:
        """Write what is new as one shard, named by its content."""
        if not self._new:
            return
        name = hashlib.sha256("".join(sorted(self._new)).encode()).hexdigest()[:32]
        draft = self.path / f".{name}.{id(self)}.tmp"
        with draft.open("wb") as handle:
            np.savez(handle, keys=np.array(list(self._new)), vectors=np.stack(list(self._new.values())))
        draft.replace(self.path / f"{name}.npz")
        self._vectors.update(self._new)
        self._new = {}
