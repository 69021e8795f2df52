"""Near-duplicate prompts, found by a job after they came in: MinHash over the first user turn, linked by LSH.

Links tie groups together under the smallest group's name (`Prompt.cluster`), the same in whatever order they
came. A split never moves: a train group that is linked to a held-out one is quarantined from training.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import numpy as np
from datasketch import MinHash, MinHashLSH
from django.db import transaction
from django.db.models import F

from . import events
from .intake import normalised_first_turn
from .models import Prompt, Sketch

PERMUTATIONS = 64
SCHEME = "affine32"  # of the stored signatures
THRESHOLD = 0.6  # estimated Jaccard similarity of 5-letter shingles from which two turns are nearly the same
SHINGLE = 5
SHORTEST = 24  # letters; shorter turns are alike too easily, and equal ones share their group anyway
BATCH = 2000


def cluster_new(*, limit: int = 20_000) -> int:
    """Look at up to `limit` prompts that no job has looked at yet; returns how many."""
    fresh = list(Prompt.objects.filter(cluster="").order_by("pk").values_list("pk", "group", "messages")[:limit])
    if not fresh:
        return 0
    turns = {normalised_first_turn(messages): group for _, group, messages in fresh}
    _sketch(turns)
    links = sorted(_links({key(turn) for turn in turns}))
    with transaction.atomic():
        _tie({group for _, group, _ in fresh}, links)
        _quarantine(links)
    return len(fresh)


def key(turn: str) -> str:
    return hashlib.sha256(turn.encode()).hexdigest()


def numbers(turn: str) -> str:
    """What tells apart "the square root of 81" and "of 64", which letters hardly do: questions of another number."""
    return " ".join(sorted(re.findall(r"\d+", turn)))[:64]


def shingles(turn: str) -> set[bytes]:
    return {turn[i : i + SHINGLE].encode() for i in range(len(turn) - SHINGLE + 1)}


def _sketch(turns: dict[str, str]) -> None:
    keys = [key(turn) for turn in turns]
    known = set(Sketch.objects.filter(turn__in=keys).values_list("turn", flat=True))
    wanted = [(turn, group) for turn, group in turns.items() if len(turn) >= SHORTEST and key(turn) not in known]
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        hashed = MinHash.generator([shingles(turn) for turn, _ in batch], num_perm=PERMUTATIONS, scheme=SCHEME)
        Sketch.objects.bulk_create(
            [
                Sketch(
                    turn=key(turn), group=group, numbers=numbers(turn), signature=m.hashvalues.astype("<u8").tobytes()
                )
                for (turn, group), m in zip(batch, hashed, strict=True)
            ],
            ignore_conflicts=True,
        )


def _signatures() -> Iterator[tuple[str, str, str, MinHash]]:
    rows = Sketch.objects.values_list("turn", "group", "numbers", "signature")
    for turn, group, number, raw in rows.iterator(chunk_size=BATCH):
        values = np.frombuffer(bytes(raw), "<u8").astype(np.uint64)
        yield turn, group, number, MinHash(num_perm=PERMUTATIONS, scheme=SCHEME, hashvalues=values)


def _links(fresh: set[str]) -> set[tuple[str, str]]:
    """Pairs of groups, the smaller first, of which one has a fresh turn nearly the same as a turn of the other."""
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    known = {turn: (group, number, signature) for turn, group, number, signature in _signatures()}
    for turn, (_, _, signature) in known.items():
        index.insert(turn, signature, check_duplication=False)
    found = set()
    for turn in fresh & known.keys():
        group, number, signature = known[turn]
        for other in index.query(signature):
            there, other_number, theirs = known[other]
            if there != group and number == other_number and signature.jaccard(theirs) >= THRESHOLD:
                found.add((min(group, there), max(group, there)))
    return found


def _tie(fresh: set[str], links: list[tuple[str, str]]) -> None:
    """Give fresh groups their cluster, and let linked clusters become one."""
    touched = sorted(fresh | {group for link in links for group in link})
    clusters: dict[str, str] = {}
    for start in range(0, len(touched), BATCH):
        rows = Prompt.objects.filter(group__in=touched[start : start + BATCH]).exclude(cluster="")
        clusters.update(rows.values_list("group", "cluster").distinct())
    roots = {name: name for name in [*clusters.values(), *touched]}

    def root(name: str) -> str:
        while roots[name] != name:
            roots[name] = roots[roots[name]]
            name = roots[name]
        return name

    for one, other in links:
        low, high = sorted((root(clusters.get(one, one)), root(clusters.get(other, other))))
        roots[high] = low
    for old in sorted(set(clusters.values())):
        if root(old) != old:
            Prompt.objects.filter(cluster=old).update(cluster=root(old))
    by_cluster: dict[str, list[str]] = {}
    for group in fresh:
        by_cluster.setdefault(root(clusters.get(group, group)), []).append(group)
    alone = [groups[0] for name, groups in by_cluster.items() if groups == [name]]
    for start in range(0, len(alone), BATCH):  # nearly all: each is its own cluster, one statement for many
        Prompt.objects.filter(group__in=alone[start : start + BATCH], cluster="").update(cluster=F("group"))
    for name, groups in by_cluster.items():
        if groups != [name]:
            Prompt.objects.filter(group__in=groups).update(cluster=name)


def _quarantine(links: list[tuple[str, str]]) -> None:
    groups = {group for link in links for group in link}
    splits = dict(Prompt.objects.filter(group__in=groups).values_list("group", "split"))
    for link in links:
        sides = {splits.get(group, "") for group in link}
        if "train" not in sides or not sides & {"dev", "gate"}:
            continue
        train = next(group for group in link if splits.get(group) == "train")
        for prompt in Prompt.objects.filter(group=train, quarantined=False):
            Prompt.objects.filter(pk=prompt.pk).update(quarantined=True)
            other = next(group for group in link if group != train)
            events.record("prompt.quarantined", prompt, after={"group": other, "split": splits[other]})
