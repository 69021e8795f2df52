"""A tiny Llama (1.9M parameters, 1,024-token vocabulary) trained from nothing on the toy corpus, in seconds."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhf.engine.chat import prompt_ids
from rlhf.engine.job import Outcome
from rlhf.engine.policies import parameter_count
from rlhf.engine.run_dir import RunDir
from rlhf.spec import PretrainConfig, Spec
from rlhf.tiny_corpus import Pair, tiny_corpus

Row = tuple[list[int], int]  # token ids, and where the answer starts

VOCABULARY = 1024
PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WARMUP = 20  # steps


def run(run_dir: RunDir, spec: Spec) -> Outcome:
    """Train tokenizer and model; the same spec gives the same weights on the same machine."""
    config: PretrainConfig = spec.config
    pairs = tiny_corpus(config.examples, spec.seed)
    tokenizer = train_tokenizer([f"user\n{prompt}\nassistant\n{answer}" for prompt, answer in pairs])
    model = LlamaForCausalLM(_architecture(tokenizer))
    tokens, loss = _train(run_dir, model, tokenizer, pairs, config, spec.seed)
    with run_dir.publishing() as out:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    figures: dict[str, object] = {"parameters": parameter_count(run_dir.out), "loss": round(loss, 4)}
    return Outcome(figures=figures, rows={"examples": len(pairs)}, tokens=tokens)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a chat template of its own and no default system message."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=START, eos_token=END, padding_side="left"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _architecture(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=480,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _train(
    run_dir: RunDir,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[Pair],
    config: PretrainConfig,
    seed: int,
) -> tuple[int, float]:
    """Next-token training on the answers, cosine schedule; the tokens seen and the last smoothed loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01, fused=True)
    tokens, smooth = 0, 0.0
    for step, batch in enumerate(_batches(tokenizer, pairs, config, seed), start=1):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * _schedule(step, config.steps)
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batch["attention_mask"].sum())
        smooth = loss.item() if step == 1 else 0.9 * smooth + 0.1 * loss.item()
        if step % 10 == 0 or step == config.steps:
            run_dir.check_stop()
            run_dir.progress(step, config.steps, {"loss": round(smooth, 4)})
    return tokens, smooth


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then linear down to a tenth."""
    return min(1.0, step / WARMUP) * (1.0 - 0.9 * step / steps)


def _batches(
    tokenizer: PreTrainedTokenizerFast, pairs: list[Pair], config: PretrainConfig, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """`config.steps` random batches of rows of similar length (padding would be half of the work)."""
    rng = random.Random(seed)
    encoded = [_encode(tokenizer, prompt, answer) for prompt, answer in pairs]
    bucket: list[list[Row]] = []
    for _ in range(config.steps):
        if not bucket:
            rows = sorted(rng.sample(encoded, 8 * config.batch_size), key=lambda row: len(row[0]))
            bucket = [rows[i : i + config.batch_size] for i in range(0, len(rows), config.batch_size)]
            rng.shuffle(bucket)
        yield _pad(bucket.pop(), tokenizer.pad_token_id)


def _pad(rows: list[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded tensors, with the prompt's positions left out of the loss."""
    width = max(len(ids) for ids, _ in rows)
    batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for ids, answer_from in rows:
        pad = width - len(ids)
        batch["input_ids"].append(ids + [pad_id] * pad)
        batch["attention_mask"].append([1] * len(ids) + [0] * pad)
        batch["labels"].append([-100] * answer_from + ids[answer_from:] + [-100] * pad)
    return {name: torch.tensor(values) for name, values in batch.items()}


def _encode(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str) -> Row:
    start = prompt_ids(tokenizer, [{"role": "user", "content": prompt}])
    end = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return [*start, *end, tokenizer.eos_token_id], len(start)
