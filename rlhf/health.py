"""What a healthy run looks like, curve by curve, and when one does not. Pure: no rows, no Django.

Every check reads whole curves, asks for enough points to tell a trend from noise, and answers with one sentence
that says what was seen and what usually helps. A warning is for a person to read; nothing is decided by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import NamedTuple

Points = Sequence[tuple[int, float]]
Curves = Mapping[str, Points]

ENOUGH = 8  # points below which a quarter of a curve says nothing


class Curve(NamedTuple):
    """What a metric is, in words, and what a healthy curve looks like."""

    title: str
    healthy: str


CURVES: dict[str, Curve] = {
    "loss": Curve(
        "Loss", "Falls and then levels off. For DPO it starts at .69; near 0 within a few steps means memorising."
    ),
    "accuracy": Curve(
        "Pairs ordered right", "Rises from about one half and settles below 1; 1 early on small data is memorising."
    ),
    "margin": Curve(
        "Margin between chosen and rejected",
        "Rises slowly and keeps rising; a jump means that the learning rate is too high.",
    ),
    "reward": Curve(
        "Reward", "Rises and levels off; a late climb together with length or KL is the score being gamed."
    ),
    "reward_std": Curve(
        "Spread of rewards in a group", "Well above 0: answers to one prompt must differ for anything to be learnt."
    ),
    "reward_chosen": Curve(
        "Reward of chosen answers",
        "Stays level or rises a little. Falling together with the rejected ones is common; falling fast is not.",
    ),
    "reward_rejected": Curve("Reward of rejected answers", "Falls, faster than that of the chosen ones."),
    "kl": Curve("KL from the start", "Rises slowly and levels off below about 10 nats an answer."),
    "entropy": Curve(
        "Entropy of the next token", "Falls a little and levels off; a collapse means one answer for all."
    ),
    "length": Curve("Tokens an answer", "Level. Steady growth means that length itself is being rewarded."),
    "zero_variance": Curve(
        "Groups whose rewards are all equal", "Low. Such groups teach nothing; above one half most of the work is lost."
    ),
    "clipped": Curve("Answers cut at the budget", "Low. A cut answer is judged without its end."),
    "lr": Curve("Learning rate", "Rises during warm-up, then falls to 0 as planned."),
    "gradient_norm": Curve("Gradient norm", "Level or slowly falling; spikes say that single batches pull hard."),
    "tokens_per_second": Curve(
        "Tokens a second", "Level. A slow decline means longer texts, a sudden one a busy machine."
    ),
    "finish_rate": Curve("Answers that end by themselves", "High and level; low means that answers are cut short."),
}
SAME = {  # as trainers elsewhere name them
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/mean": "reward",
    "learning_rate": "lr",
    "grad_norm": "gradient_norm",
    "objective/kl": "kl",
    "frac_reward_zero_std": "zero_variance",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "clipped",
    "mean_token_accuracy": "accuracy",
}


def known(name: str) -> str:
    """The name under which a trainer's metric stands in CURVES."""
    return SAME.get(name, name)


class Warning(NamedTuple):
    """Something to look at: the curve it shows on, and what was seen."""

    curve: str
    words: str


def warnings(curves: Curves, *, kind: str = "", finished: bool = False) -> list[Warning]:
    """What is not healthy in a run's curves ({name: [(step, value)]}), at most one warning a check."""
    found = {known(name): list(points) for name, points in curves.items() if points}
    seen: list[Warning] = []
    for curve, check in CHECKS:
        words = check(found, kind, finished) if curve in found else None
        if words:
            seen.append(Warning(curve, words))
    return seen


class _Ends(NamedTuple):
    """Mean of the first and of the last quarter of a curve, and the noise of their difference."""

    first: float
    last: float
    noise: float


def _ends(points: Points) -> _Ends | None:
    values = [value for _, value in points if math.isfinite(value)]
    if len(values) < ENOUGH:
        return None
    quarter = max(2, len(values) // 4)
    first, last = values[:quarter], values[-quarter:]
    noise = math.sqrt((stdev(first) ** 2 + stdev(last) ** 2) / quarter)
    return _Ends(fmean(first), fmean(last), noise)


def _not_a_number(curves: Curves, kind: str, finished: bool) -> str | None:
    bad = [step for step, value in curves["loss"] if not math.isfinite(value)]
    return f"The loss is not a number from step {bad[0]} on: a lower learning rate usually helps." if bad else None


def _nought(curves: Curves, kind: str, finished: bool) -> str | None:
    """In GRPO and RLOO the loss hovers about nought by construction."""
    ends = _ends(curves["loss"])
    if ends is None or kind in ("grpo", "rloo") or abs(ends.last) > 1e-3:
        return None
    return "The loss is practically 0: the data are memorised, or the answer can be read off the input."


def _diverging(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["loss"])
    if ends is None or kind in ("grpo", "rloo") or ends.last < 1.2 * abs(ends.first) + 3 * ends.noise + 1e-3:
        return None
    return f"The loss rises, from {ends.first:.3g} to {ends.last:.3g}: the learning rate is too high for this data."


def _both_fall(curves: Curves, kind: str, finished: bool) -> str | None:
    chosen, rejected = (_ends(curves.get(name, ())) for name in ("reward_chosen", "reward_rejected"))
    if chosen is None or rejected is None:
        return None
    falls = all(e.first - e.last > max(0.05, 2 * e.noise) for e in (chosen, rejected))
    if not falls:
        return None
    return (
        "Chosen and rejected answers both become less likely: the policy moves away from its data. A lower rate, "
        "a larger beta or some SFT on the chosen answers helps."
    )


def _chance(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["accuracy"])
    if ends is None or len(curves["accuracy"]) < 30 or kind == "sft" or ends.last > 0.55:
        return None
    return f"Pairs are ordered right {ends.last:.0%} of the time, no better than a coin, after this many steps."


def _memorised(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["accuracy"])
    if ends is None or kind == "sft" or ends.last < 0.995:
        return None
    return "Every pair is ordered right: the data are memorised. Fewer steps, a lower rate or more pairs."


def _longer(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["length"])
    if ends is None or ends.first <= 0 or ends.last < 1.5 * ends.first or ends.last - ends.first < 2 * ends.noise:
        return None
    return f"Answers grow, from {ends.first:.0f} to {ends.last:.0f} tokens: length itself is being rewarded."


def _collapse(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["entropy"])
    if ends is None or (ends.last > 0.3 * ends.first and ends.last > 0.02):
        return None
    return (
        f"Entropy falls from {ends.first:.2g} to {ends.last:.2g} nats: the policy says the same to everyone. "
        "A larger beta or a lower rate helps."
    )


def _no_variance(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["zero_variance"])
    if ends is None or ends.last <= 0.5:
        return None
    return (
        f"In {ends.last:.0%} of the groups all answers get the same reward, so nothing is learnt from them: "
        "sample hotter, more answers a prompt, or harder prompts."
    )


def _far(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["kl"])
    if ends is None or ends.last <= 10:
        return None
    return f"The policy is {ends.last:.0f} nats from where it started: its reward is no longer to be trusted there."


def _cut(curves: Curves, kind: str, finished: bool) -> str | None:
    ends = _ends(curves["clipped"])
    if ends is None or ends.last <= 0.5:
        return None
    return f"{ends.last:.0%} of the answers are cut at the token budget: raise it, or ask for shorter ones."


def _rate(curves: Curves, kind: str, finished: bool) -> str | None:
    values = [value for _, value in curves["lr"]]
    if len(values) < ENOUGH:
        return None
    if max(values) <= 0:
        return "The learning rate stays at 0: nothing is learnt."
    if finished and values[-1] == max(values) > values[0]:
        return "The learning rate was still warming up when the run ended: more steps, or a shorter warm-up."
    if values[0] == max(values):
        return "The learning rate starts at its full height, without a warm-up: the first steps may do damage."
    return None


def _spikes(curves: Curves, kind: str, finished: bool) -> str | None:
    values = [value for _, value in curves["gradient_norm"] if math.isfinite(value)]
    if len(values) < ENOUGH:
        return None
    usual, recent = median(values), max(values[-max(2, len(values) // 4) :])
    if usual <= 0 or recent <= 10 * usual:
        return None
    return f"The gradient jumped to {recent:.3g}, {recent / usual:.0f} times the usual: one batch pulls very hard."


Check = Callable[[Curves, str, bool], str | None]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("loss", _not_a_number),
    ("loss", _nought),
    ("loss", _diverging),
    ("accuracy", _chance),
    ("accuracy", _memorised),
    ("reward_chosen", _both_fall),
    ("kl", _far),
    ("entropy", _collapse),
    ("length", _longer),
    ("zero_variance", _no_variance),
    ("clipped", _cut),
    ("lr", _rate),
    ("gradient_norm", _spikes),
)
