"""Is somebody answering at all? An anytime-valid test on items with known answers.

    E_t = w prod_i P(x_i | chance) / P(x_i | honest)  +  (1 - w) prod_i P(x_i | contrary) / P(x_i | honest)

x_i: right or wrong. honest: wrong with the probability that the item allows an honest person (a quarter; a
twentieth on attention items, which nobody who reads gets wrong). chance: wrong half of the time. contrary: wrong
nine times of ten. While somebody errs no more often than an honest person may, E_t is a supermartingale that
starts at 1, so that P(E_t >= 1/alpha at any t) <= alpha however often one looks (Ville). Self-consistency on
repeats enters alike: an honest person who errs a quarter of the time repeats themselves 62.5% of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, inf, log

ALPHA = 0.02  # an honest person is ever paused with at most this probability; within 500 judgments about .005
LEAST = 12  # known answers before somebody no better than chance is paused
LEAST_CONTRARY = 6  # before somebody worse than chance is
WEIGHT = 0.9  # of the chance alternative
CONTRARY_WRONG = 0.9


@dataclass(frozen=True)
class Sign:
    """One known answer: whether it was right, and how often honest people and a coin get such a one wrong."""

    right: bool
    honest_wrong: float = 0.25
    chance_wrong: float = 0.5


def gold(right: bool) -> Sign:
    return Sign(right)


def attention(right: bool) -> Sign:
    return Sign(right, honest_wrong=0.05)


def repeat(same: bool) -> Sign:
    return Sign(same, honest_wrong=0.375)


@dataclass(frozen=True)
class Finding:
    """What the signs say: `evidence` is E_t, and `pause` whether they suffice."""

    n: int
    wrong: int
    evidence: float
    pause: bool


def test(signs: Iterable[Sign]) -> Finding:
    """The test after all of `signs`, in any order: E_t depends on their number alone."""
    seen = list(signs)
    chance = sum(_ratio(s, s.chance_wrong) for s in seen)
    contrary = sum(_ratio(s, CONTRARY_WRONG) for s in seen)
    evidence = WEIGHT * _exp(chance) + (1 - WEIGHT) * _exp(contrary)
    least = LEAST_CONTRARY if contrary > chance else LEAST
    enough = evidence >= 1 / ALPHA and len(seen) >= least
    return Finding(len(seen), sum(not s.right for s in seen), evidence, enough)


def first_pause(signs: Iterable[Sign]) -> int | None:
    """After how many signs somebody would have been paused; None if not at all."""
    chance = contrary = 0.0
    for n, sign in enumerate(signs, start=1):
        chance += _ratio(sign, sign.chance_wrong)
        contrary += _ratio(sign, CONTRARY_WRONG)
        evidence = WEIGHT * _exp(chance) + (1 - WEIGHT) * _exp(contrary)
        if evidence >= 1 / ALPHA and n >= (LEAST_CONTRARY if contrary > chance else LEAST):
            return n
    return None


def _ratio(sign: Sign, wrong: float) -> float:
    """Log likelihood ratio of one sign, `wrong` against the honest rate."""
    return log((1 - wrong) / (1 - sign.honest_wrong)) if sign.right else log(wrong / sign.honest_wrong)


def _exp(x: float) -> float:
    return inf if x > 700 else exp(x)
