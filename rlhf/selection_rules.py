"""Which pair of candidate answers to ask about: pure rules on posterior draws of the reward.

`draws` is (K, N): K draws of the reward head, N candidate answers of one prompt.

    random   two different answers, uniformly: the control arm, the only one that may be evaluated on
    infomax  argmax_ij Var_k sigmoid(R_ki - R_kj): the pair whose outcome the draws disagree most about
    dopt     argmax_ij w Var_k(R_ki - R_kj), w = p(1-p): D-optimal; inside a batch each pair that was
             chosen shrinks the draws as its vote would, so that the next one asks something else
    dts      i = the best under one draw, j = the best under another (double Thompson sampling)
    sea      i = the best under one draw; j = argmax_j Var_k(R_ki - R_kj), the rival about whose
             distance to i the draws disagree most
    drts     i = the best under one draw, j = the worst under another: pairs with a gap, for DPO

A rule gains by choosing among many candidates of a prompt, not by ordering given pairs. No rule wins
everywhere: on a misspecified reward dts and sea, on a linear one dopt and infomax (docs/measured.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

Pair = tuple[int, int]
REDRAWS = 30  # dts: looks for another favourite so often before it takes any other answer


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
    batch = _Batch([prompts[k] for k in chosen])
    picked = []
    for n, (k, is_control) in enumerate(zip(chosen, control, strict=True)):
        i, j = pick_pair("random" if is_control else rule, batch.draws(n), rng)
        if rule == "dopt":
            batch.learn(n, i, j)
        picked.append((k, i, j, "control" if is_control else "active"))
    return picked


class _Batch:
    """The draws of all prompts of a batch side by side; row k is one draw of the head throughout."""

    def __init__(self, tables: Sequence[np.ndarray]) -> None:
        self.all = np.hstack([np.asarray(t, dtype=float) for t in tables]) if tables else np.zeros((1, 0))
        self.starts = np.cumsum([0, *(t.shape[1] for t in tables)])

    def draws(self, n: int) -> np.ndarray:
        return self.all[:, self.starts[n] : self.starts[n + 1]]

    def learn(self, n: int, i: int, j: int) -> None:
        """Shrink the spread of all draws as a vote on this pair would; their means stay where they are.

        H += w d d^T on a sample of draws: the serial square-root filter of Whitaker & Hamill (2002) with
        y = theta . d observed at variance 1/w.
        """
        own = self.draws(n)
        y = own[:, i] - own[:, j]
        p = expit(y.mean())
        noise, y = 1.0 / max(p * (1 - p), 1e-6), y - y.mean()
        spread = float(y @ y) / len(y)
        gain = (y @ (self.all - self.all.mean(axis=0)) / len(y)) / (spread + noise)
        self.all = self.all - np.outer(y, gain) / (1 + np.sqrt(noise / (spread + noise)))


def _coins(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool, true with probability `rate`; the number of true ones is n * rate, rounded at random."""
    count = int(n * rate + rng.random())
    coins = np.arange(n) < count
    rng.shuffle(coins)
    return coins


def _random(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i, j = rng.choice(draws.shape[1], size=2, replace=False).tolist()
    return i, j


def _infomax(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    return _best_pair(expit(draws[:, :, None] - draws[:, None, :]).var(axis=0))


def _dopt(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    apart = draws[:, :, None] - draws[:, None, :]
    p = expit(apart.mean(axis=0))
    return _best_pair(p * (1 - p) * apart.var(axis=0))


def _best_pair(worth: np.ndarray) -> Pair:
    """The pair above the diagonal with the most worth; never an answer against itself."""
    rows, columns = np.triu_indices(len(worth), 1)
    best = int(worth[rows, columns].argmax())
    return int(rows[best]), int(columns[best])


def _dts(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i = _favourite(draws, rng)
    for _ in range(REDRAWS):
        if (j := _favourite(draws, rng)) != i:
            return i, j
    return i, _other(i, draws.shape[1], rng)


def _sea(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i = _favourite(draws, rng)
    spread = (draws[:, [i]] - draws).var(axis=0)
    spread[i] = -1.0  # never itself, even where all draws agree
    return i, int(spread.argmax())


def _drts(draws: np.ndarray, rng: np.random.Generator) -> Pair:
    i = _favourite(draws, rng)
    other = draws[rng.integers(len(draws))].copy()
    other[i] = np.inf  # never itself
    return i, int(other.argmin())


def _favourite(draws: np.ndarray, rng: np.random.Generator) -> int:
    """The best answer under one draw, taken at random."""
    return int(draws[rng.integers(len(draws))].argmax())


def _other(i: int, n: int, rng: np.random.Generator) -> int:
    j = int(rng.integers(n - 1))
    return j + (j >= i)


RULES: dict[str, Callable[[np.ndarray, np.random.Generator], Pair]] = {
    "random": _random,
    "infomax": _infomax,
    "dopt": _dopt,
    "dts": _dts,
    "sea": _sea,
    "drts": _drts,
}
