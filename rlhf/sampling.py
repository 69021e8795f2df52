"""Asking a policy for answers: only those draws that do not exist yet."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from feedback.errors import BadInput
from feedback.models import Policy, Prompt, Response, User

from . import runs
from .models import Run


def missing_draws(policy: Policy, prompts: Iterable[Prompt], draws: Sequence[int]) -> dict[str, list[int]]:
    """Prompt key -> draw numbers that this policy has not answered yet."""
    have: dict[int, set[int]] = defaultdict(set)
    prompts = list(prompts)
    done = Response.objects.filter(policy=policy, prompt__in=prompts, draw__in=list(draws))
    for prompt_id, draw in done.values_list("prompt_id", "draw"):
        have[prompt_id].add(draw)
    wanted = {p.key: [d for d in draws if d not in have[p.pk]] for p in prompts}
    return {key: needed for key, needed in wanted.items() if needed}


def sample(
    *,
    policy: Policy,
    prompts: Iterable[Prompt],
    draws: Sequence[int],
    seed: int = 0,
    actor: User | None = None,
) -> Run | None:
    """A run that fills in the missing draws, or None when all are there. `external` policies cannot be asked."""
    if policy.kind != "local":
        raise BadInput(f"{policy.slug} is external: it hands its answers in, it cannot be sampled.", where="policy")
    wanted = missing_draws(policy, prompts, draws)
    if not wanted:
        return None
    decoding = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 96, "best_of": 1, **policy.decoding}
    config = {"system_prompt": policy.system_prompt, "decoding": decoding}
    own = own_seed(policy, seed)
    return runs.start(kind="generate", policy=policy, config=config, inputs={"prompts": wanted}, seed=own, actor=actor)


def own_seed(policy: Policy, seed: int) -> int:
    """Two policies never share random numbers: with common ones a small update repeats its parent word for word."""
    return zlib.crc32(f"{policy.slug}:{seed}".encode()) >> 1


def answers(policy: Policy, prompts: Iterable[Prompt], draws: Sequence[int]) -> dict[str, list[Response]]:
    """Prompt key -> this policy's responses, by draw."""
    found: dict[str, list[Response]] = defaultdict(list)
    rows = Response.objects.filter(policy=policy, prompt__in=list(prompts), draw__in=list(draws))
    for response in rows.select_related("prompt").order_by("prompt__key", "draw", "key"):
        found[response.prompt.key].append(response)
    return dict(found)
