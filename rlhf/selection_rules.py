"""Which pair of candidate answers to ask about: pure rules on posterior draws of the reward.

`draws` is (K, N): K draws of the reward head, N candidate answers of one prompt.

    random  two different answers, uniformly: the control arm, the only one that may be evaluated on
    sea     i = the best under one random draw; j = argmax_j Var_k(R_ki - R_kj), the rival about whose
            distance to i the draws disagree most

A rule gains by choosing among many candidates of a prompt, not by ordering given pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Pair = tuple[int, int]


def pick_pair(rule: str, draws: np.ndarray, rng: np.random.Generator) -> Pair:
    """Two different candidates (i, j). ValueError for an unknown rule or fewer than two candidates."""
    if rule not in RULES:
        raise ValueError(f"unknown selection rule {rule!r}; known: {', '.join(RULES)}")
    if draws.ndim != 2 or draws.shape[1] < 2:
        raise ValueError(f"a pair needs at least two candidates; draws have shape {draws.shape}")
    return RULES[rule](draws, rng)


def choose_pairs(
    prompts: Sequence[np.ndarray],
    rule: str,
    control_rate: float,
    rng: np.random.Generator,
    limit: int | None = None,
) -> list[tuple[int, int, int, str]]:
    """(prompt index, i, j, arm) for up to `limit` prompts in random order, one pair each.

    A share `control_rate` of them, at random, gets a random pair (arm "control"), the rest one by the
    rule ("active"). Pairs of the rule "random" are control pairs. Prompts with one candidate are passed over.
    """
    able = [k for k in rng.permutation(len(prompts)).tolist() if prompts[k].shape[1] >= 2]
    chosen = able if limit is None else able[:limit]
    control = _coins(len(chosen), 1.0 if rule == "random" else control_rate, rng)
    picked = []
    for k, is_control in zip(chosen, control, strict=True):
        i, j = pick_pair("random" if is_control else rule, prompts[k], rng)
        picked.append((k, i, j, "control" if is_control else "active"))
    return picked


def _coins(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool, true with probability `rate`; the number of true ones is n * rate, rounded at random."""
    count = int(n * rate + rng.random())
    coins = np.arange(n) < count
    rng.shuffle(coins)
    return coins


def _random(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i, j = rng.choice(draws.shape[1], size=2, replace=False).tolist()
    return i, j


def _sea(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i = int(draws[rng.integers(len(draws))].argmax())
    spread = (draws[:, [i]] - draws).var(axis=0)
    spread[i] = -1.0  # never itself, even where all draws agree
    return i, int(spread.argmax())


RULES: dict[str, Callable[[np.ndarray, np.random.Generator], Pair]] = {"random": _random, "sea": _sea}
