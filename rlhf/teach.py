"""Teach it yourself: twenty comparisons teach a head of one's own, twelve blind ones say whether it helped.

A lesson's state derives from its seed and its votes alone, so a reload, another process or a restart
goes on where it was. The teaching pairs are the two most different of four draws, whatever the head
says by then: so "how well it foresaw your next vote" is not spoilt by a choice of hard questions. The
head that is tried blind has seen the twenty teaching votes and none of the blind ones.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from django.db import IntegrityError, transaction
from django.db.models import Max, Min

from feedback import events
from feedback.errors import BadInput, StaleTransition
from feedback.models import Prompt, Response, User
from feedback.stats.heads import Head, Standardiser
from feedback.stats.style import STYLE_NAMES, style_matrix

from . import taste
from .models import Lesson, LessonVote
from .selection import differ_visibly

TAUGHT, BLIND, DRAWS = 20, 12, 4
VOTES = {"left": 1.0, "right": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Question:
    """A prompt and four draws that differ visibly."""

    prompt: Prompt
    answers: tuple[Response, ...]


@dataclass(frozen=True)
class Pool:
    """The questions there are, and the scale of the style features over their answers."""

    train: tuple[Question, ...]
    dev: tuple[Question, ...]
    standardiser: Standardiser

    def phi(self, answers: list[Response]) -> np.ndarray:
        """(n, F) standardised style features."""
        return self.standardiser.apply(style_matrix((a.prompt.last_turn, a.content) for a in answers))


@dataclass(frozen=True)
class Pair:
    """What to show next. `position` counts from 0 over both halves of the lesson."""

    position: int
    left: Response
    right: Response

    @property
    def prompt(self) -> Prompt:
        return self.left.prompt

    @property
    def blind(self) -> bool:
        return self.position >= TAUGHT


class Course:
    """A lesson as its votes have made it; everything is worked out when asked for."""

    def __init__(self, lesson: Lesson, pool: Pool) -> None:
        self.lesson, self.pool = lesson, pool
        rows = lesson.votes.select_related("left__prompt", "right__prompt").order_by("position")
        self.votes: list[LessonVote] = list(rows)

    @property
    def taught(self) -> list[LessonVote]:
        return self.votes[:TAUGHT]

    @property
    def finished(self) -> bool:
        return len(self.votes) >= TAUGHT + BLIND

    @cached_property
    def differences(self) -> np.ndarray:
        """(n, F) of the teaching votes, left minus right."""
        if not self.taught:
            return np.zeros((0, len(STYLE_NAMES)))
        return self.pool.phi([v.left for v in self.taught]) - self.pool.phi([v.right for v in self.taught])

    @cached_property
    def targets(self) -> np.ndarray:
        return np.array([VOTES[v.picked] for v in self.taught])

    @cached_property
    def head(self) -> Head:
        return taste.learn(self.differences, self.targets)

    @cached_property
    def expected(self) -> np.ndarray:
        return taste.foresight(self.differences, self.targets)

    @cached_property
    def next_pair(self) -> Pair | None:
        """The pair to show now; None when the lesson is over."""
        position = len(self.votes)
        if self.finished:
            return None
        questions = self.pool.train if position < TAUGHT else self.pool.dev
        asked = {v.left.prompt_id for v in self.votes}
        question = min(
            (q for q in questions if q.prompt.pk not in asked),
            key=lambda q: _lot(self.lesson.seed, q.prompt.key),
        )
        rng = np.random.default_rng([self.lesson.seed, position])
        two = self._favourite_and_other(question, rng) if position >= TAUGHT else self._widest(question)
        left, right = two if rng.random() < 0.5 else two[::-1]
        return Pair(position, left, right)

    def _widest(self, question: Question) -> tuple[Response, Response]:
        """The two draws whose style differs most."""
        phi = self.pool.phi(list(question.answers))
        pairs = itertools.combinations(range(len(phi)), 2)
        i, j = max(pairs, key=lambda ij: float(np.square(phi[ij[0]] - phi[ij[1]]).sum()))
        return question.answers[i], question.answers[j]

    def _favourite_and_other(self, question: Question, rng: np.random.Generator) -> tuple[Response, Response]:
        """The head's best of the four, and one of the other three at random."""
        best = self.favourite(list(question.answers))
        others = [a for a in question.answers if a.pk != best.pk]
        return best, others[int(rng.integers(len(others)))]

    def favourite(self, answers: list[Response]) -> Response:
        """The answer that the head rewards most; the older one where it sees no difference."""
        rewards = self.head.rewards(self.pool.phi(answers)).round(9)
        return min(zip(answers, rewards, strict=True), key=lambda row: (-row[1], row[0].pk))[0]

    def head_wins(self) -> list[float]:
        """By blind vote: 1 where the head's answer was picked, 0 where the random one was, 1/2 for a tie."""
        return [
            VOTES[v.picked] if self.favourite([v.left, v.right]).pk == v.left_id else 1 - VOTES[v.picked]
            for v in self.votes[TAUGHT:]
        ]

    @property
    def verdict(self) -> taste.Verdict | None:
        wins = self.head_wins()
        return taste.Verdict(sum(wins), len(wins)) if self.finished else None


def current(user: User) -> Lesson | None:
    """The person's latest lesson, begun or over."""
    return Lesson.objects.filter(user=user).order_by("-pk").first()


def start(*, user: User) -> Lesson:
    """A new lesson; the former ones stay as they are."""
    seed = int.from_bytes(hashlib.sha256(f"{user.pk}:{Lesson.objects.count()}".encode()).digest()[:4], "big")
    return Lesson.objects.create(user=user, seed=seed >> 1)


def vote(*, course: Course, position: int, left: str, right: str, picked: str) -> LessonVote:
    """Write one vote on the pair that was shown (`left`, `right`: response keys).

    The same vote twice is one vote. Raises BadInput for an unknown choice, StaleTransition when another
    tab is further on or the pair is not the one to be judged now.
    """
    if picked not in VOTES:
        raise BadInput("picked: expected left, right or tie.", where="picked")
    known = next((v for v in course.votes if v.position == position), None)
    if known is not None and (known.left.key, known.right.key, known.picked) == (left, right, picked):
        return known
    pair = course.next_pair
    if pair is None or (pair.position, pair.left.key, pair.right.key) != (position, left, right):
        raise StaleTransition("This pair has been judged already: the page now shows the next one.")
    return _write(course, pair, picked)


def _write(course: Course, pair: Pair, picked: str) -> LessonVote:
    try:
        with transaction.atomic():
            made = LessonVote.objects.create(
                lesson=course.lesson, position=pair.position, left=pair.left, right=pair.right, picked=picked
            )
            if pair.position + 1 == TAUGHT + BLIND:
                events.record("lesson.finished", course.lesson, actor=course.lesson.user)
    except IntegrityError as twice:
        raise StaleTransition("This pair has been judged in another tab.") from twice
    return made


def undo(*, course: Course) -> None:
    """Take the last vote back; nothing happens before the first one or after the verdict."""
    if course.votes and not course.finished:
        course.votes[-1].delete()


def pool() -> Pool | None:
    """The questions of the demo workspace, or None before enough answers are there.

    The answers are those of the first policy that ever answered demo prompts: the model one starts from.
    """
    demo = Prompt.objects.filter(metadata__workspace="demo", split__in=("train", "dev"), quarantined=False)
    first = Response.objects.filter(prompt__in=demo).aggregate(policy=Min("policy_id"))["policy"]
    if first is None:
        return None
    newest = Response.objects.filter(policy_id=first).aggregate(newest=Max("pk"))["newest"]
    return _pool(first, newest)


@lru_cache(maxsize=2)
def _pool(policy_id: int, newest: int) -> Pool | None:
    """Kept in the process: reading and measuring a thousand answers takes longer than a vote may."""
    rows = (
        Response.objects.filter(policy_id=policy_id, pk__lte=newest, prompt__metadata__workspace="demo")
        .filter(prompt__split__in=("train", "dev"), prompt__quarantined=False)
        .select_related("prompt")
        .order_by("prompt__key", "draw")
    )
    questions = [
        Question(prompt, tuple(four))
        for prompt, draws in itertools.groupby(rows, key=lambda r: r.prompt)
        if len(four := different_draws(list(draws))) == DRAWS
    ]
    train = tuple(q for q in questions if q.prompt.split == "train")
    dev = tuple(q for q in questions if q.prompt.split == "dev")
    if len(train) < TAUGHT or len(dev) < BLIND:
        return None
    answers = [a for q in questions for a in q.answers]
    return Pool(train, dev, Standardiser.fit(style_matrix((a.prompt.last_turn, a.content) for a in answers)))


def different_draws(draws: list[Response]) -> list[Response]:
    """The first four draws of which no two look alike (fewer where there are no four)."""
    kept: list[Response] = []
    for draw in draws:
        if draw.content.strip() and len(kept) < DRAWS and all(differ_visibly(draw.content, k.content) for k in kept):
            kept.append(draw)
    return kept


def _lot(seed: int, key: str) -> bytes:
    """The order in which a lesson asks its prompts; a prompt that arrives later disturbs no other."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
