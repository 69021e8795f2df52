"""Which entries stay: each rule is a reason and a mask; the first that applies is the one counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from feedback.models import ARMS

from .entries import Entries
from .recipe import Recipe
from .texts import Facts
from .votes import SPLITS, Pairs, Votes, policies

TRAIN, TEST, TIES = 0, 1, 2
NONE = -1


@dataclass
class Fate:
    """Why each entry is out (0: it is in), with the reasons by number."""

    code: np.ndarray
    reasons: list[str] = field(default_factory=lambda: [""])

    def put_out(self, reason: str, which: np.ndarray) -> None:
        self.reasons.append(reason)
        self.code[(self.code == 0) & which] = len(self.reasons) - 1

    @property
    def inside(self) -> np.ndarray:
        return self.code == 0

    def counts(self) -> dict[str, int]:
        n = np.bincount(self.code, minlength=len(self.reasons))
        return {reason: int(n[i]) for i, reason in enumerate(self.reasons) if i and n[i]}


def by_columns(pairs: Pairs, entries: Entries, recipe: Recipe) -> Fate:
    """What can be said without reading a text."""
    fate = Fate(np.zeros(len(entries), np.int16))
    for reason, out in _column_rules(pairs, entries, recipe):
        fate.put_out(reason, out)
    return fate


def _column_rules(pairs: Pairs, entries: Entries, recipe: Recipe) -> Iterator[tuple[str, np.ndarray]]:
    split = pairs.split[entries.pair]
    yield "gate prompt", split == SPLITS["gate"]
    yield "quarantined prompt", pairs.quarantined[entries.pair]
    yield "prompt not yet compared with others", ~pairs.clustered[entries.pair]
    wanted = np.array([ARMS.index(arm) for arm in recipe.arms])
    yield "arm not in the recipe", ~np.isin(pairs.arm[entries.pair], wanted)
    if (named := policies(recipe)) is not None:
        own = np.isin(pairs.policy_a, named) & np.isin(pairs.policy_b, named)
        yield "answers of other policies", ~own[entries.pair]
    yield "no vote of those asked", entries.votes + entries.bad == 0
    yield "too few votes", entries.votes + entries.bad < recipe.min_votes
    yield "votes not sure enough", entries.probability < recipe.min_probability
    yield "tie on a dev prompt", entries.tie & (entries.votes > 0) & (split == SPLITS["dev"])
    yield "both bad on a dev prompt", (entries.votes == 0) & (split == SPLITS["dev"])


def by_texts(fate: Fate, facts: Facts, pairs: Pairs, entries: Entries, recipe: Recipe) -> None:
    """What the texts say, then what depends on the other rows: doubles, a prompt's share, balance."""
    if recipe.max_prompt:
        fate.put_out("prompt too long", facts.prompt_length > recipe.max_prompt)
    if recipe.max_answer:
        longest = np.maximum(facts.first_length, facts.second_length)
        fate.put_out("answer too long", longest > recipe.max_answer)
    for name, found in facts.found.items():
        fate.put_out(name, found)
    if recipe.dedupe != "none":
        fate.put_out("same texts as another row", _later(fate.inside, facts.same))
    if recipe.dedupe == "near":
        prompt = pairs.prompt[entries.pair]
        fate.put_out("prompt nearly that of another row", _strangers(fate.inside, facts.cluster, prompt))
    if recipe.max_per_prompt:
        prompt = pairs.prompt[entries.pair]
        fate.put_out("more pairs than a prompt may have", _beyond(fate.inside, prompt, recipe.max_per_prompt))
    if recipe.balance != "none":
        rows = fate.inside & (files(pairs, entries) == TRAIN)
        kind = facts.domain if recipe.balance == "domain" else facts.first_length > facts.second_length
        fate.put_out(f"more than the smallest {recipe.balance} has", _beyond(rows, kind, _smallest(rows, kind)))


def files(pairs: Pairs, entries: Entries) -> np.ndarray:
    """(n,) which file of pairs each entry belongs to; NONE where both answers were bad."""
    train = pairs.split[entries.pair] == SPLITS["train"]
    place = np.where(entries.tie, TIES, np.where(train, TRAIN, TEST))
    return np.where(entries.votes > 0, place, NONE)


def kto(pairs: Pairs, entries: Entries) -> tuple[np.ndarray, np.ndarray]:
    """(n,) label of the first answer as a KTO row (1 good, 0 bad; the second one is bad), -1 for none; (n,) weight.

    A decisive pair is weighed by how sure its votes are, 2p - 1; "both bad" by its share of the votes, where that
    is more than half; a tie says nothing.
    """
    train = pairs.split[entries.pair] == SPLITS["train"]
    total = np.maximum(entries.votes + entries.bad, 1)
    bad = entries.bad / total
    decisive = train & ~entries.tie & (entries.votes > 0)
    rejected = train & ~decisive & (bad > 0.5)
    label = np.where(decisive, 1, np.where(rejected, 0, NONE))
    return label, np.round(np.where(decisive, 2 * entries.probability - 1, bad), 6)


def held_out(votes: Votes, share: float) -> np.ndarray:
    """(people,) whether each person is held out, by a hash of the name: for ever the same people."""

    def drawn(name: str) -> bool:
        digest = hashlib.sha256(f"plumbline-held-out-1:{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < share

    return np.array([drawn(name) for name in votes.people], dtype=bool)


def _later(rows: np.ndarray, what: np.ndarray) -> np.ndarray:
    """(n,) true for rows whose `what` an earlier row (by public id) has."""
    return _beyond(rows, what, 1)


def _beyond(rows: np.ndarray, what: np.ndarray, most: int) -> np.ndarray:
    """(n,) true for the rows beyond the first `most` of each value, in the order of public ids."""
    out = np.zeros(len(rows), bool)
    at = np.flatnonzero(rows)
    if len(at):
        _, code = np.unique(what[at], return_inverse=True)
        order = np.argsort(code, kind="stable")
        starts = np.searchsorted(code[order], np.arange(code.max() + 1))
        rank = np.arange(len(at)) - starts[code[order]]
        out[at[order]] = rank >= most
    return out


def _strangers(rows: np.ndarray, cluster: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """(n,) true for rows on another prompt than the first row of their cluster is on."""
    out = np.zeros(len(rows), bool)
    at = np.flatnonzero(rows)
    _, first, code = np.unique(cluster[at], return_index=True, return_inverse=True)
    out[at] = prompt[at] != prompt[at][first][code]
    return out


def _smallest(rows: np.ndarray, kind: np.ndarray) -> int:
    _, n = np.unique(kind[rows], return_counts=True)
    return int(n.min()) if len(n) else 0
