"""How good a reward model is, beside what people agree on and what style alone explains.

All arrays run over pairs, `chosen` first: p is the model's probability that chosen is better, target what people
said. Since chosen always comes first, everything is taken about nought (as if every pair were seen from both sides):
a mean of differences would only measure who was written first.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logit

from feedback.stats.estimates import Estimate, accuracy, share

BINS = 8
FEWEST = 5  # pairs below which a level of a breakdown is not shown
CLIP = 1e-4


class Bin(NamedTuple):
    """Pairs of about the same probability of the likelier side: what was predicted, how often it was right."""

    predicted: float
    observed: Estimate


class Lean(NamedTuple):
    """How a style feature goes along with the model's preference, and with people's; each in [-1, 1].

    `controlled`: of the model, given people's own answer and every other feature.
    """

    name: str
    model: float
    people: float
    controlled: float


def human_lines(agreement: float) -> tuple[float, float]:
    """From the share of pairs on which two people agree: the least and the greatest ceiling of accuracy.

    A predictor of single votes can do no better than between a and (1 + sqrt(2a - 1)) / 2: the first if everybody is
    equally unsure of every pair's two sides, the second if each pair has one right answer that people miss equally
    often. Known answer: .66 gives .66 and .783. Below one half people agree less than coins; then .5 and .5.
    """
    if agreement < 0.5:
        return 0.5, 0.5
    return agreement, float((1 + np.sqrt(2 * agreement - 1)) / 2)


def people_agree(target: np.ndarray, votes: np.ndarray, groups: np.ndarray) -> Estimate:
    """Share of pairs of votes that agree, over pairs with at least two; a pair's own share is unbiased.

    k of n for one side: (k(k-1) + (n-k)(n-k-1)) / (n(n-1)). Known answer: 2 of 3 gives 1/3.
    """
    several = votes >= 2
    n, k = votes[several].astype(float), target[several] * votes[several]
    same = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return share(np.clip(same, 0, 1), groups[several])


def reliability(p: np.ndarray, target: np.ndarray, groups: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Bins of equal count over the likelier side's probability, from unsure to sure; ties are left out."""
    decisive = target != 0.5
    p, target, groups = p[decisive], target[decisive], groups[decisive]
    sure = np.maximum(p, 1 - p)
    right = np.where((p >= 0.5) == (target > 0.5), 1.0, 0.0)
    count = max(1, min(bins, len(sure) // (2 * FEWEST)))
    found = [where for where in np.array_split(np.argsort(sure, kind="stable"), count) if len(where)]
    return [Bin(float(sure[where].mean()), share(right[where], groups[where])) for where in found]


def accuracy_by(
    levels: Sequence[Hashable], p: np.ndarray, target: np.ndarray, groups: np.ndarray
) -> list[tuple[Hashable, Estimate]]:
    """Accuracy within each level (None is no level), the most pairs first; levels with few pairs are left out."""
    found: dict[Hashable, list[int]] = {}
    for place, level in enumerate(levels):
        if level is not None and target[place] != 0.5:
            found.setdefault(level, []).append(place)
    rows = [(level, places) for level, places in found.items() if len(places) >= FEWEST]
    rows.sort(key=lambda row: (-len(row[1]), str(row[0])))
    return [(level, accuracy(p[at], target[at], groups[at])) for level, at in rows]


def leanings(names: Sequence[str], style: np.ndarray, p: np.ndarray, target: np.ndarray) -> list[Lean]:
    """For each column of `style` (n, F), differences chosen minus rejected; those that never differ are left out."""
    model, people = logit(np.clip(p, CLIP, 1 - CLIP)), target - 0.5
    scale = np.sqrt((style**2).mean(axis=0))
    used = [i for i in range(style.shape[1]) if scale[i] > 1e-9]
    x = style[:, used] / scale[used]
    found = []
    for place, i in enumerate(used):
        controls = np.column_stack([np.delete(x, place, axis=1), people])
        left = (_without(x[:, place], controls), _without(model, controls))
        known = len(x) > controls.shape[1] + 2
        lean = Lean(
            names[i], _along(x[:, place], model), _along(x[:, place], people), _along(*left) if known else np.nan
        )
        found.append(lean)
    return found


def _without(y: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """What a linear fit through nought on the controls leaves of y."""
    fitted, *_ = np.linalg.lstsq(controls, y, rcond=None)
    rest: np.ndarray = y - controls @ fitted
    return rest


def _along(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation about nought."""
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0
