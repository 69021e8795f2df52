"""Messages to token ids: the one place that knows how a policy's system prompt meets a prompt."""

from __future__ import annotations

from typing import Any

Messages = list[dict[str, str]]


def with_system(messages: Messages, system_prompt: str) -> Messages:
    """The messages as the policy reads them: its own text comes first, in one system message with the prompt's.

    Where neither has a system text the template decides; some (SmolLM2's) then put in a default of their own,
    which we leave alone, since that is how such a model was trained.
    """
    if not system_prompt:
        return messages
    if messages and messages[0]["role"] == "system":
        text = f"{system_prompt}\n\n{messages[0]['content']}"
        return [{"role": "system", "content": text}, *messages[1:]]
    return [{"role": "system", "content": system_prompt}, *messages]


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of a conversation up to the place where the assistant starts to answer."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def answer_ids(tokenizer: Any, messages: Messages, content: str) -> list[int]:
    """Token ids of a conversation with its answer, ending on the answer's last token (no end-of-turn mark)."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + content
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
