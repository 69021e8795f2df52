"""What one person's votes taught a head over the named style features, and whether it helps (pure numpy).

No Django here. A vote is 1 for the left answer, 0 for the right one, 1/2 for a tie; differences are
standardised style features, left minus right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from feedback.stats.estimates import Z95, wilson
from feedback.stats.heads import Head, fit_head
from feedback.stats.style import STYLE_NAMES

LAM = 4.0  # prior precision: strong, since twenty votes meet seventeen features
POWER = 0.8416212335729143  # z of 80%


@dataclass(frozen=True)
class Leaning:
    """How much one style feature counts for this person: + likes more of it, - less; 95% interval."""

    name: str
    weight: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        return self.low > 0 or self.high < 0


def learn(differences: np.ndarray, votes: np.ndarray) -> Head:
    """The head after these votes; (n, F) differences, (n,) votes. Without votes it is the prior: no taste."""
    return fit_head(differences, votes, lam=LAM)


def leanings(head: Head) -> list[Leaning]:
    """The features in the order of how far they moved, with intervals from the Laplace posterior."""
    draws = head.draws(400, seed=0)
    spread = Z95 * draws.std(axis=0)
    rows = [
        Leaning(name, float(w), float(w - s), float(w + s))
        for name, w, s in zip(STYLE_NAMES, head.theta, spread, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row.weight))


def foresight(differences: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """(n,) P(left) of each vote by the head fitted on the votes before it: never on the vote itself."""
    d, q = np.ascontiguousarray(differences, dtype=float), np.ascontiguousarray(votes, dtype=float)
    return np.array([_foreseen(d[: t + 1].tobytes(), q[:t].tobytes()) for t in range(len(q))])


@lru_cache(maxsize=4096)
def _foreseen(differences: bytes, votes: bytes) -> float:
    """P(left) of the last difference by the head fitted on the others; kept, since every later vote asks again."""
    q = np.frombuffer(votes)
    d = np.frombuffer(differences).reshape(len(q) + 1, -1)
    return float(expit(learn(d[:-1], q).rewards(d[-1:])[0]))


def running_share(expected: np.ndarray, votes: np.ndarray) -> list[float | None]:
    """Share of decisive votes foreseen so far, after each vote; 'no idea' (1/2) counts half, ties nothing."""
    decisive = votes != 0.5
    right = (np.sign(expected - 0.5) * np.sign(votes - 0.5) + 1) / 2
    seen, hits = np.cumsum(decisive), np.cumsum(right * decisive)
    return [float(h / n) if n else None for h, n in zip(hits, seen, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """What the blind votes say of the head: `score` of `n`, a tie counting half to either side."""

    score: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval: valid since it is looked at once, after a number of votes fixed beforehand."""
        return wilson(self.score, self.n)

    @property
    def evidence(self) -> bool:
        low, high = self.interval
        return low > 0.5 or high < 0.5

    @property
    def more(self) -> int | None:
        """Further votes that would tell this share from 1/2 (fixed test, 5% two-sided, power .8).

        n = ((z_.975 / 2 + z_.8 sqrt(p (1-p))) / (p - 1/2))^2, the rest rounded up to tens; 8 of 12 needs 68,
        so 60 more. None: above 1,000.
        """
        p = self.score / self.n
        if abs(p - 0.5) < 1e-9:
            return None
        total = ((Z95 / 2 + POWER * math.sqrt(p * (1 - p))) / (p - 0.5)) ** 2
        more = max(10, 10 * math.ceil((total - self.n) / 10))
        return more if more <= 1000 else None

    @property
    def sentence(self) -> str:
        """For instance: 8-4, interval .39-.86, not yet evidence; about 60 more."""
        low, high = self.interval
        head = f"{_count(self.score)}-{_count(self.n - self.score)}, interval {_share(low)}-{_share(high)}"
        if self.evidence:
            side = "for" if self.score * 2 > self.n else "against"
            return f"{head}: evidence {side} your model."
        more = f"about {self.more} more" if self.more else "more than 1,000 more, if there is anything to find"
        return f"{head}, not yet evidence; {more}."


def _count(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _share(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
