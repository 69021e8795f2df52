"""A lesson: state from votes alone, blind, and honest about its own pairs."""

from __future__ import annotations

import time

import pytest

from feedback.errors import BadInput, StaleTransition
from feedback.models import Event
from feedback.stats.style import STYLE_NAMES
from rlhf import teach
from rlhf.models import Lesson, LessonVote
from tests.factories import make_prompt, make_response, make_user
from tests.factories_rlhf import make_demo_pool

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_pool() -> None:
    teach._pool.cache_clear()


@pytest.fixture
def lesson() -> Lesson:
    make_demo_pool()
    return teach.start(user=make_user("mira"))


def course_of(lesson: Lesson) -> teach.Course:
    pool = teach.pool()
    assert pool is not None
    return teach.Course(lesson, pool)


def say(lesson: Lesson, picked: str | None = None) -> LessonVote:
    """Vote on the next pair; without a choice, for the politer answer (the one that says Certainly)."""
    course = course_of(lesson)
    pair = course.next_pair
    assert pair is not None
    polite = "left" if pair.left.content.startswith("Certainly") else "right"
    return teach.vote(
        course=course,
        position=pair.position,
        left=pair.left.key,
        right=pair.right.key,
        picked=picked or polite,
    )


def finish(lesson: Lesson) -> teach.Course:
    for _ in range(teach.TAUGHT + teach.BLIND - lesson.votes.count()):
        say(lesson)
    return course_of(lesson)


def test_without_answers_there_is_no_pool() -> None:
    make_prompt("Bare", metadata={"workspace": "demo"})
    assert teach.pool() is None


def test_prompts_outside_the_demo_are_not_asked() -> None:
    make_demo_pool()
    stranger = make_prompt("Stranger")
    for d in range(4):
        make_response(stranger, f"{'word ' * d} {d}", draw=d)
    pool = teach.pool()
    assert pool is not None
    assert stranger.pk not in {q.prompt.pk for q in pool.train}


def test_a_prompt_whose_draws_look_alike_is_not_asked() -> None:
    policy = make_demo_pool()
    dull = make_prompt("Dull", metadata={"workspace": "demo"})
    for d in range(4):
        make_response(dull, "The very same answer" + " " * d, policy=policy, draw=d)
    pool = teach.pool()
    assert pool is not None
    assert dull.pk not in {q.prompt.pk for q in pool.train}


def test_the_same_votes_give_the_same_next_pair_after_a_restart(lesson: Lesson) -> None:
    for _ in range(5):
        say(lesson)
    before = course_of(lesson).next_pair
    teach._pool.cache_clear()
    assert course_of(Lesson.objects.get()).next_pair == before


def test_no_prompt_is_asked_twice_and_the_halves_read_their_own_split(lesson: Lesson) -> None:
    votes = finish(lesson).votes
    prompts = [v.left.prompt for v in votes]
    assert len({p.pk for p in prompts}) == 32
    assert [p.split for p in prompts] == ["train"] * 20 + ["dev"] * 12


def test_answers_that_arrive_meanwhile_do_not_disturb_the_votes_given(lesson: Lesson) -> None:
    for _ in range(3):
        say(lesson)
    policy = make_response().policy
    given = list(lesson.votes.values_list("left_id", "right_id", "picked"))
    make_response(make_prompt("New", metadata={"workspace": "demo"}), "something new", policy=policy)
    course = course_of(lesson)
    assert [(v.left_id, v.right_id, v.picked) for v in course.votes] == given


def test_a_blind_pair_is_the_heads_favourite_against_another_draw(lesson: Lesson) -> None:
    for _ in range(teach.TAUGHT):
        say(lesson)
    course = course_of(lesson)
    pair = course.next_pair
    assert pair is not None and pair.blind
    four = list(pair.prompt.responses.order_by("draw"))
    assert course.favourite(four) in (pair.left, pair.right)
    assert pair.left.content != pair.right.content


def test_the_blind_head_never_sees_blind_votes(lesson: Lesson) -> None:
    for _ in range(teach.TAUGHT):
        say(lesson)
    before = course_of(lesson).head.theta
    for _ in range(4):
        say(lesson)
    assert (course_of(lesson).head.theta == before).all()


def test_sides_are_mixed_in_both_halves(lesson: Lesson) -> None:
    course = finish(lesson)
    sides = [course.favourite([v.left, v.right]).pk == v.left_id for v in course.votes[teach.TAUGHT :]]
    assert 0 < sum(sides) < teach.BLIND
    assert 0 < sum(v.left.draw < v.right.draw for v in course.taught) < teach.TAUGHT


def test_a_steady_taste_is_learnt_and_wins(lesson: Lesson) -> None:
    """The politer answer is one of four draws: the head must find it, and a random other draw never is it."""
    course = finish(lesson)
    assert course.head.theta[STYLE_NAMES.index("polite words")] > 0
    verdict = course.verdict
    assert verdict is not None and verdict.n == 12 and verdict.score >= 10


def test_with_ties_only_the_head_wins_half(lesson: Lesson) -> None:
    for _ in range(32):
        say(lesson, "tie")
    verdict = course_of(lesson).verdict
    assert verdict is not None and verdict.score == 6.0


def test_the_favourite_does_not_hang_on_the_order_of_the_answers(lesson: Lesson) -> None:
    course = course_of(lesson)
    four = list(course.pool.dev[0].answers)
    assert course.favourite(four) == course.favourite(four[::-1]) == four[0]


def test_the_verdict_waits_for_the_last_vote(lesson: Lesson) -> None:
    assert course_of(lesson).verdict is None
    assert finish(lesson).next_pair is None
    assert Event.objects.filter(verb="lesson.finished", actor=lesson.user).count() == 1


def test_a_vote_sent_twice_is_one_vote(lesson: Lesson) -> None:
    made = say(lesson, "left")
    again = teach.vote(course=course_of(lesson), position=0, left=made.left.key, right=made.right.key, picked="left")
    assert again == made and lesson.votes.count() == 1


def test_a_vote_on_a_pair_that_is_past_is_refused(lesson: Lesson) -> None:
    made = say(lesson, "left")
    with pytest.raises(StaleTransition):
        teach.vote(course=course_of(lesson), position=0, left=made.left.key, right=made.right.key, picked="right")
    assert lesson.votes.get().picked == "left"


def test_an_unknown_choice_is_refused(lesson: Lesson) -> None:
    with pytest.raises(BadInput):
        say(lesson, "best")


def test_undo_takes_the_last_vote_back_and_shows_its_pair_again(lesson: Lesson) -> None:
    first = course_of(lesson).next_pair
    say(lesson)
    teach.undo(course=course_of(lesson))
    assert course_of(lesson).next_pair == first


def test_nothing_is_undone_after_the_verdict(lesson: Lesson) -> None:
    teach.undo(course=finish(lesson))
    assert lesson.votes.count() == 32


def test_starting_again_asks_other_pairs(lesson: Lesson) -> None:
    again = teach.start(user=lesson.user)
    assert teach.current(lesson.user) == again
    assert [course_of(x).next_pair for x in (lesson, again)] != [course_of(lesson).next_pair] * 2


def test_a_vote_with_its_refit_stays_fast(lesson: Lesson) -> None:
    for _ in range(19):
        say(lesson)
    course = course_of(lesson)
    began = time.process_time()
    say(lesson)
    course = course_of(lesson)
    _ = (course.expected, course.head, course.next_pair)
    assert time.process_time() - began < 0.1  # half of it on the machine this was written on
