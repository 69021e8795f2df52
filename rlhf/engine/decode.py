"""The decoding loop: answers of one batch, token by token.

Our own rather than `generate`: rows that have finished leave the batch (answers end at half of the budget on
average, and on a CPU every row costs), and a token is drawn without sorting the vocabulary or rolling 49k dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from rlhf.spec import Decoding

HEAD = 256  # most likely tokens that are looked at before a full sort of the vocabulary is worth its time
SHRINK = 0.75  # share of rows still going at which the finished ones are cut out


def stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends an answer: the tokenizer's and those that the model's own settings add."""
    more = getattr(model.generation_config, "eos_token_id", None) or []
    return {tokenizer.eos_token_id, *(more if isinstance(more, list) else [more])}


@torch.inference_mode()
def decode(
    model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, pad: int, stops: set[int], seed: int
) -> list[list[int]]:
    """New token ids of each prompt, with the stop token where one came. The same batch and seed give the same."""
    generator = torch.Generator(model.device).manual_seed(seed)
    answers: list[list[int]] = [[] for _ in prompts]
    batch = _Batch.of(prompts, pad, model)
    for _ in range(decoding.max_new_tokens):
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = pick(logits.float(), decoding, generator)
        for place, token in enumerate(tokens.tolist()):
            if batch.going[place]:
                answers[batch.rows[place]].append(token)
                batch.going[place] = token not in stops
        if not any(batch.going):
            break
        batch.advance(tokens)
    return answers


@dataclass
class _Batch:
    """Rows in flight: what the model reads next, and which answer each row belongs to."""

    ids: torch.Tensor  # (rows, new tokens)
    mask: torch.Tensor  # (rows, all tokens)
    positions: torch.Tensor  # (rows, new tokens)
    cache: DynamicCache
    rows: list[int]
    going: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], pad: int, model: Any) -> _Batch:
        """All prompts, padded on the left."""
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        count = len(prompts)
        return cls(ids, mask, positions, DynamicCache(config=model.config), list(range(count)), [True] * count)

    def advance(self, tokens: torch.Tensor) -> None:
        """One token further; finished rows are cut out once there are enough of them."""
        self.ids, self.positions = tokens[:, None], self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        if sum(self.going) <= SHRINK * len(self.rows):
            keep = torch.tensor([i for i, going in enumerate(self.going) if going], device=self.ids.device)
            self.ids, self.positions, self.mask = self.ids[keep], self.positions[keep], self.mask[keep]
            self.cache.batch_select_indices(keep)
            self.rows = [self.rows[i] for i in keep.tolist()]
            self.going = [True] * len(self.rows)


def pick(logits: torch.Tensor, decoding: Decoding, generator: torch.Generator) -> torch.Tensor:
    """(rows,) token ids from (rows, vocabulary) logits: greedy at temperature 0, else from the nucleus."""
    if decoding.temperature == 0:
        return logits.argmax(-1)
    scaled = logits / decoding.temperature
    chance = torch.rand(len(logits), 1, generator=generator, device=logits.device)
    if decoding.top_p >= 1:
        return _draw(scaled.softmax(-1).cumsum(-1), chance)
    places, cumulated, kept = nucleus(scaled, decoding.top_p)
    return places.gather(-1, _draw(cumulated[:, : int(kept.max())], chance, kept)[:, None])[:, 0]


def nucleus(scaled: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The fewest tokens whose probability reaches top_p (Holtzman et al. 2020).

    From (rows, vocabulary) log-odds: token ids in falling order, their cumulated probability, and (rows, 1) how
    many of them are kept. The sort covers the likeliest few unless some row needs more; the result is exact.
    """
    total = scaled.logsumexp(-1, keepdim=True)
    top, places = scaled.topk(min(HEAD, scaled.shape[-1]), dim=-1)
    if bool(((top - total).exp().sum(-1) < top_p).any()):
        top, places = scaled.sort(dim=-1, descending=True)
    probability = (top - total).exp()
    cumulated = probability.cumsum(-1)
    kept = (cumulated - probability < top_p).sum(-1, keepdim=True)
    return places, cumulated, kept


def _draw(cumulated: torch.Tensor, chance: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
    """(rows,) columns drawn from the first `kept` ones in proportion to their probability, by one number each."""
    last = torch.full_like(chance, cumulated.shape[-1], dtype=torch.long) if kept is None else kept
    reach = chance * cumulated.gather(-1, last - 1)
    column = torch.searchsorted(cumulated.contiguous(), reach, right=True)
    return torch.minimum(column, last - 1)[:, 0]
