"""The share of votes that is left when style is taken out: would it win among answers of the same length?

logit P(vote for the candidate) = a + b . d, with d the candidate's style less the other's, divided by its
root mean square (so that d = 0 means "the same style"). The controlled share is sigmoid(a); ties are halves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from feedback.stats.estimates import Z95, Estimate, fit_logistic, sandwich

LEAST = 20  # votes a fitted coefficient should have behind it


def controlled_share(votes: ArrayLike, differences: ArrayLike, groups: ArrayLike | None = None) -> Estimate | None:
    """votes: (n,) in {0, 1/2, 1}; differences: (n,) or (n, k). None with fewer than LEAST votes a coefficient.

    The interval is the plain 95% one at the votes there are: a description, not an anytime-valid statement.
    """
    x = np.asarray(votes, dtype=float)
    if len(x) < LEAST or np.ptp(x) == 0:
        return None
    d = np.asarray(differences, dtype=float).reshape(len(x), -1)
    scale = np.sqrt((d**2).mean(axis=0))
    d = d[:, scale > 0] / scale[scale > 0]
    if len(x) < LEAST * (d.shape[1] + 1):
        return None
    design = np.column_stack([np.ones(len(x)), d])
    beta = fit_logistic(design, x)
    error = float(np.sqrt(sandwich(design, x, beta, groups)[0, 0]))
    low, high = expit(beta[0] - Z95 * error), expit(beta[0] + Z95 * error)
    return Estimate(float(expit(beta[0])), float(low), float(high), len(x))
