"""Whatever scores a text, by one interface: an ensemble head or a classifier, as inputs/head turns out to be."""

from __future__ import annotations

from rlhf.engine.classifiers import ABOUT, Classifier
from rlhf.engine.heads import Scorer
from rlhf.engine.run_dir import RunDir


def load_scorer(run_dir: RunDir, batch_size: int) -> Scorer | Classifier:
    """The reward model in inputs/head. UserError where it is missing, damaged, or of another base.

    Both have `draws(texts, count)` -> (n, count) rewards, `counts(n)` and `tokens`.
    """
    directory = run_dir.input("head")
    if (directory / ABOUT).exists():
        return Classifier(run_dir, directory, batch_size)
    return Scorer(run_dir, batch_size)
