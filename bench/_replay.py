"""A replay: prompts with many real answers and a hidden reward for each, and a head that learns it by votes.

Votes are simulated: Bernoulli(sigmoid((h_i - h_j)/3)), h = logit(reward). The head sees static features alone:
the named style features, a static embedding (hashed words, tf-idf, their leading directions over the file's own
answers; nothing is fetched), and its cosine with the prompt's; all standardised.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit, logit

from feedback.stats.heads import Head, Standardiser, fit_head
from feedback.stats.style import style_matrix
from rlhf.selection_rules import choose_pairs

TEMPERATURE = 3.0
BUCKETS = 2**13
DIRECTIONS = 256
LAM = 30.0  # prior precision, the same for every rule; multiples depend on it (docs/measured.md)
CANDIDATES = 16
DRAWS = 64
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Replay:
    """phi (n, F) standardised features, h (n,) hidden rewards, and per prompt the rows of its answers."""

    phi: np.ndarray
    h: np.ndarray
    prompts: list[np.ndarray]


def read(path: Path) -> Replay:
    """From JSONL (gzipped or not), a prompt a line. ValueError names the line of what is wrong."""
    opener = gzip.open if path.suffix == ".gz" else open
    asked, answers, rewards, prompts = [], [], [], []
    with opener(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
                said = [(str(r["text"]), float(r["reward"])) for r in row["responses"]]
                prompt = str(row["prompt"])
            except (ValueError, KeyError, TypeError) as wrong:
                raise ValueError(f"{path.name}, line {number}: {wrong!r}") from wrong
            if len(said) < 2:
                continue
            prompts.append(np.arange(len(answers), len(answers) + len(said)))
            asked += [prompt] * len(said)
            answers += [text for text, _ in said]
            rewards += [reward for _, reward in said]
    if len(prompts) < 20:
        raise ValueError(f"{path.name}: {len(prompts)} prompts with two answers or more; a replay needs 20")
    phi = features(asked, answers)
    return Replay(Standardiser.fit(phi).apply(phi), logit(np.clip(rewards, 1e-6, 1 - 1e-6)), prompts)


def features(prompts: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """(n, F): style, static embedding, and the cosine of answer and prompt."""
    said, asked = _tf_idf(_counts(answers)), _counts(prompts)
    directions = leading_directions(said, DIRECTIONS)
    embedded, asked_embedded = said @ directions, _tf_idf(asked) @ directions
    length = np.linalg.norm(embedded, axis=1) * np.linalg.norm(asked_embedded, axis=1)
    cosine = (embedded * asked_embedded).sum(axis=1) / np.maximum(length, 1e-9)
    return np.hstack([style_matrix(zip(prompts, answers, strict=True)), embedded, cosine[:, None]])


def _counts(texts: Sequence[str]) -> csr_matrix:
    """(n, BUCKETS) log counts of hashed words."""
    data: list[float] = []
    where: list[int] = []
    ends = [0]
    for text in texts:
        found = Counter(zlib.crc32(word.encode()) % BUCKETS for word in WORD.findall(text.lower()))
        where += found.keys()
        data += (1 + np.log(count) for count in found.values())
        ends.append(len(where))
    return csr_matrix((data, where, ends), shape=(len(texts), BUCKETS))


def _tf_idf(counts: csr_matrix) -> csr_matrix:
    seen = np.bincount(counts.indices, minlength=BUCKETS)
    weighted = counts.multiply(np.log((1 + counts.shape[0]) / (1 + seen))).tocsr()
    norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return csr_matrix(weighted.multiply(1 / np.maximum(norm, 1e-9)[:, None]))


def leading_directions(matrix: csr_matrix, count: int, seed: int = 0) -> np.ndarray:
    """(columns, count) leading right singular vectors by subspace iteration (Halko et al. 2011), two powers."""
    count = min(count, *matrix.shape)
    probe = np.random.default_rng(seed).standard_normal((matrix.shape[1], count + 16))
    for _ in range(3):
        basis, _ = np.linalg.qr(matrix @ probe)
        probe = np.asarray(matrix.T @ basis)
    left, _, _ = np.linalg.svd(probe, full_matrices=False)
    return left[:, :count]


def learn(replay: Replay, rule: str, looks: Sequence[int], seed: int) -> list[float]:
    """Win rate after each number of labels in `looks`, asking by `rule` on half of the prompts, judged on the rest.

    The same seed gives every rule the same halves and the same test. Batches grow with what is known already.
    """
    halves = np.random.default_rng([seed, 0]).permutation(len(replay.prompts))
    half = len(halves) // 2
    test, train = [replay.prompts[n] for n in halves[:half]], [replay.prompts[n] for n in halves[half:]]
    rng = np.random.default_rng([seed, 1])
    asked, votes, curve = np.zeros((0, replay.phi.shape[1])), np.zeros(0), []
    head = fit_head(asked, votes, lam=LAM)
    for look in looks:
        while len(votes) < look:
            batch = min(max(8, len(votes) // 16), look - len(votes))
            pairs = ask(replay, head, rule, train, batch, rng)
            a, b = pairs.T
            won = rng.random(len(pairs)) < expit((replay.h[a] - replay.h[b]) / TEMPERATURE)
            asked = np.vstack([asked, replay.phi[a] - replay.phi[b]])
            votes = np.append(votes, won)
            head = fit_head(asked, votes, lam=LAM)
        curve.append(win_rate(replay, head, test, seed))
    return curve


def ask(
    replay: Replay, head: Head, rule: str, train: list[np.ndarray], count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count, 2) rows of `phi`: pairs that our own rules choose among sixteen candidates a prompt."""
    thetas = head.draws(DRAWS, rng)
    pools = [drawn(train[n], rng) for n in rng.integers(len(train), size=count)]
    picked = choose_pairs([thetas @ replay.phi[pool].T for pool in pools], rule, 0.0, rng)
    return np.array([(pools[k][i], pools[k][j]) for k, i, j, _ in picked])


def drawn(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(rows, CANDIDATES, replace=False) if len(rows) > CANDIDATES else rows


def win_rate(replay: Replay, head: Head, test: list[np.ndarray], seed: int) -> float:
    """How often the judge prefers the head's best of sixteen to a random one of them: mean sigmoid((h - h')/3)."""
    rng = np.random.default_rng([seed, 2])
    rates = []
    for rows in test:
        pool = drawn(rows, rng)
        best = pool[head.rewards(replay.phi[pool]).argmax()]
        rates.append(expit((replay.h[best] - replay.h[pool]) / TEMPERATURE).mean())
    return float(np.mean(rates))


def label_multiple(curve: Sequence[tuple[int, float]], random: Sequence[tuple[int, float]], at: int) -> float | None:
    """`at` over the labels with which `curve` first reaches what random asking has at `at` labels.

    Between two looks in a straight line over log labels. Where the first look reaches it already, that look
    counts: a lower bound. None where the curve never reaches it.
    """
    goal = dict(random)[at]
    before: tuple[int, float] | None = None
    for labels, rate in curve:
        if rate >= goal:
            if before is None:
                return round(at / labels, 2)
            part = (goal - before[1]) / (rate - before[1])
            reached = np.exp(np.log(before[0]) + part * np.log(labels / before[0]))
            return round(float(at / reached), 2)
        before = (labels, rate)
    return None
