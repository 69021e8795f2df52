from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from feedback.models import SELECTIONS, Response
from rlhf import artifacts, selection
from rlhf.models import Run
from rlhf.selection_rules import RULES
from tests.factories import make_item, make_policy, make_prompt, make_queue, make_response

pytestmark = pytest.mark.django_db


def scored(tmp_path: Path, means: dict[str, float], sd: float = 0.1) -> Run:
    """A finished score run: each response has the given mean and 64 draws around it."""
    rng, keys = np.random.default_rng(0), list(means)
    draws = np.array([means[k] for k in keys])[:, None] + sd * rng.normal(size=(len(keys), 64))
    np.save(tmp_path / "draws.npy", draws.astype(np.float32))
    (tmp_path / "ids.json").write_text(json.dumps(keys))
    lines = [json.dumps({"id": k, "mean": means[k], "sd": sd}) for k in keys]
    (tmp_path / "scores.jsonl").write_text("\n".join(lines) + "\n")
    return Run.objects.create(kind="score", status="done", artifact=artifacts.publish(tmp_path, kind="score"))


def pool(texts: tuple[str, ...]) -> list[Response]:
    prompt, policy = make_prompt(), make_policy()
    return [make_response(prompt, text, policy=policy, draw=n) for n, text in enumerate(texts)]


def test_the_database_knows_the_same_rules_as_the_code() -> None:
    assert set(SELECTIONS) == set(RULES)


def test_best_and_worst_are_told_apart_by_mean_less_doubt(tmp_path: Path) -> None:
    good, fair, bad = pool(("a fine answer", "some middling words", "nothing to do with it"))
    run = scored(tmp_path, {good.key: 2.0, fair.key: 1.0, bad.key: -1.0})
    pairs = selection.best_and_worst(run)
    assert [(p["chosen"], p["rejected"]) for p in pairs] == [(good.key, bad.key)]
    assert pairs[0]["gap"] == pytest.approx(3.0)


def test_pairs_closer_than_the_least_gap_are_left_out(tmp_path: Path) -> None:
    one, two = pool(("a fine answer", "another kind of answer"))
    run = scored(tmp_path, {one.key: 1.0, two.key: 0.9})
    assert selection.best_and_worst(run, min_gap=0.5) == []


def test_new_items_carry_their_arm_and_a_prompt_gets_one_open_pair(tmp_path: Path) -> None:
    queue = make_queue(selection="sea", control_rate=0.5)
    responses = [
        r for n in range(20) for r in pool((f"first {n}", f"second {n} is longer", f"third {n}, with a comma"))
    ]
    run = scored(tmp_path, {r.key: float(n % 3) for n, r in enumerate(responses)})
    items, facts = selection.ask(queue=queue, score_run=run, limit=10, seed=1)
    assert (len(items), facts["control"], facts["active"]) == (10, 5, 5)
    again, facts = selection.ask(queue=queue, score_run=run, limit=100, seed=2)
    assert len(again) == 10  # the other ten prompts: those with an open pair wait
    assert len({item.prompt_id for item in [*items, *again]}) == 20


def test_answers_that_look_alike_are_not_worth_a_question() -> None:
    assert not selection.differ_visibly("The same words here.", "the same  words here.")
    assert selection.differ_visibly("The same words here.", "Other words there.")
    alike = pool(("Just the one answer.", "just the one  answer."))
    assert selection.by_prompt(alike) == {}


def test_a_prompt_with_an_open_pair_waits(tmp_path: Path) -> None:
    queue = make_queue(selection="random")
    item = make_item(queue, texts=("one way to say it", "another way of putting it"))
    run = scored(tmp_path, {r.key: 0.0 for r in item.ordered_responses()})
    assert selection.ask(queue=queue, score_run=run, limit=5, seed=0)[0] == []
