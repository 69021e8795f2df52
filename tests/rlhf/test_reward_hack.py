"""A reward hack that nobody planted: best of 64 by a head that knows sixty noisy votes.

In the toy world a policy mostly answers well, sometimes curtly or rudely, and once in thirty rambles or repeats
itself. People prefer a good answer to a curt one, so a linear head on style learns that more words are better; the
best of 64 by that head is then the rare one that rambles. The head expects it to win, people do not take it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from feedback.hidden_rewards import polite_tiny, simulated_vote
from feedback.models import Prompt, User
from feedback.stats.heads import Head, Standardiser, fit_head
from feedback.stats.sequential import Rule
from feedback.stats.style import style_matrix
from rlhf import artifacts, deployments, gates
from rlhf.models import Decision, Run
from rlhf.tiny_corpus import RUDE, _all_tasks, _rambling, _repetitive
from tests.factories import make_member, make_policy, make_prompt, make_queue, make_response, make_user
from tests.factories_rlhf import make_reward_model, vote

pytestmark = pytest.mark.django_db
MANNERS = {"good": 60, "terse": 20, "rude": 17, "rambling": 2, "repetitive": 1}
SEED, PROMPTS, VOTES, NOISE = 2, 60, 60, 0.1
Task = tuple[str, object, str]


def draw(task: Task, rng: random.Random) -> tuple[str, str]:
    """One answer of the policy to a prompt."""
    prompt, maker, terse = task
    good = maker(rng)  # type: ignore[operator]
    said = {"good": good, "terse": terse, "rude": rng.choice(RUDE)}
    said |= {"rambling": _rambling(rng, good), "repetitive": _repetitive(rng, good)}
    return prompt, said[rng.choices(list(MANNERS), weights=list(MANNERS.values()))[0]]


def weak_head(tasks: list[Task], rng: random.Random, votes: np.random.Generator) -> tuple[Head, Standardiser]:
    """A head on style features alone, from sixty votes of which one in ten is wrong."""
    first, second = ([draw(task, rng) for task in tasks] for _ in range(2))
    said = [simulated_vote(votes, polite_tiny(*a), polite_tiny(*b), NOISE) for a, b in zip(first, second, strict=True)]
    left, right = style_matrix(first), style_matrix(second)
    scale = Standardiser.fit(np.vstack([left, right]))
    target = [{"A": 1.0, "B": 0.0}.get(choice, 0.5) for choice in said]
    return fit_head(scale.apply(left) - scale.apply(right), target), scale


def finish(run: Run, head: Head, scale: Standardiser, texts: dict[str, tuple[str, str]], folder: Path) -> None:
    """What a worker would publish for the score run of the decision."""
    keys = sorted(run.inputs["responses"])
    draws = scale.apply(style_matrix([texts[key] for key in keys])) @ head.draws(64).T
    folder.mkdir()
    np.save(folder / "draws.npy", draws.astype(np.float32))
    (folder / "ids.json").write_text(json.dumps(keys))
    summary = [{"id": key, "mean": float(d.mean()), "sd": float(d.std())} for key, d in zip(keys, draws, strict=True)]
    (folder / "scores.jsonl").write_text("\n".join(map(json.dumps, summary)))
    Run.objects.filter(pk=run.pk).update(status="done", artifact=artifacts.publish(folder, kind="score"))


def hacked(people: list[User], tmp_path: Path) -> Decision:
    """An open vote: the best of 64 by the weak head against single draws of the same policy, prediction done."""
    rng, votes = random.Random(SEED), np.random.default_rng(SEED)
    tasks = _all_tasks()
    rng.shuffle(tasks)
    head, scale = weak_head(tasks[:VOTES], rng, votes)
    live, candidate = make_policy(), make_policy("best-of-64", decoding={"best_of": 64})
    deployments.promote(policy=live, alias="production")
    prompts, texts = [], {}
    for task in tasks[VOTES : VOTES + PROMPTS]:
        prompt = make_prompt(task[0], split="gate")
        many = [draw(task, rng) for _ in range(64)]
        best = many[int(np.argmax(head.rewards(scale.apply(style_matrix(many)))))]
        for policy, answer in ((candidate, best), (live, draw(task, rng))):
            texts[make_response(prompt, answer[1], policy=policy).key] = answer
        prompts.append(prompt)
    queue = make_queue()
    for person in people:
        make_member(queue, person)
    decision = gates.open_decision(
        candidate=candidate, live=live, prompts=prompts, rule=Rule(limit=PROMPTS), label_queue=queue,
        reward_model=make_reward_model("weak-head"), seed=SEED,
    )  # fmt: skip
    finish(decision.runs.get(kind="score"), head, scale, texts, tmp_path / "scores")
    return decision


def test_best_of_64_on_a_weak_head_is_refused_with_both_figures_side_by_side(tmp_path: Path) -> None:
    people = [make_user() for _ in range(4)]
    decision = hacked(people, tmp_path)
    votes = np.random.default_rng(7)
    answers = {p.key: p.last_turn for p in Prompt.objects.all()}
    n = 0
    while decision.status == "voting":
        item = decision.queue.items.filter(status="open", seats__status="free").order_by("position").first()
        if item is not None:
            new, old = (r.content for r in item.ordered_responses())
            asked = answers[item.prompt.key]
            said = simulated_vote(votes, polite_tiny(asked, new), polite_tiny(asked, old), NOISE)
            vote(decision.queue, people[n % 4], {"A": 0, "B": 1}.get(said, "tie"))
            n += 1
        gates.consume(decision=decision)
    found = decision.figures
    assert decision.status == "refused" and deployments.live("production") == decision.live
    assert found["predicted"]["value"] > 0.65 and found["share"] < 0.5, (found["predicted"], found["share"])
    assert found["apart"], "more than .10 apart: the alarm"
    assert found["median_length"]["candidate"] > 1.5 * found["median_length"]["live"]
