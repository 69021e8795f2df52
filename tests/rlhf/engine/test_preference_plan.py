from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlhf.engine.preference_plan import plan, read_pairs
from rlhf.engine.run_dir import UserError
from tests.rlhf.engine.runs import write_lines


class Words:
    """A tokenizer of words: one id for each, 0 ends a turn."""

    eos_token_id = 0

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return " ".join(message["content"] for message in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [len(word) for word in text.split()]}


def row(prompt: str = "a bb", chosen: str = "ccc", rejected: str = "d", **more: Any) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    } | more


def pairs_of(tmp_path: Path, *rows: dict[str, Any], system: str = "", max_length: int = 9) -> Any:
    return read_pairs(write_lines(tmp_path / "pairs.jsonl", list(rows)), Words(), system, max_length)


def test_answers_end_with_the_end_of_the_turn(tmp_path: Path) -> None:
    (found,) = pairs_of(tmp_path, row()).rows
    assert (found["prompt_ids"], found["chosen_ids"], found["rejected_ids"]) == ([1, 2], [3, 0], [1, 0])


def test_an_answer_that_was_cut_off_does_not_end_its_turn(tmp_path: Path) -> None:
    (found,) = pairs_of(tmp_path, row(chosen_finish_reason="length")).rows
    assert (found["chosen_ids"], found["rejected_ids"]) == ([3], [1, 0])


def test_the_policys_system_prompt_comes_first(tmp_path: Path) -> None:
    assert pairs_of(tmp_path, row(), system="ffffff").rows[0]["prompt_ids"] == [6, 1, 2]


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, row(), row(prompt="a a a a"), row(chosen="c c c"), max_length=4)
    assert (len(pairs.rows), pairs.dropped, pairs.truncated) == (2, 1, 1)


def test_weights_are_scaled_to_a_mean_of_one(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, row(weight=1.0), row(weight=3.0))
    assert [found["weight"] for found in pairs.rows] == [0.5, 1.5]


@pytest.mark.parametrize(
    "wrong", [{"target": 1.5}, {"weight": -1}, {"chosen": []}, {"rejected": [{"role": "user", "content": "x"}]}]
)
def test_a_bad_pair_is_named_by_its_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        pairs_of(tmp_path, row(), row() | wrong)
    assert caught.value.field == "inputs/pairs.jsonl:2"


def test_nothing_left_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pair is left"):
        pairs_of(tmp_path, row(weight=0.0))


def test_a_plan_takes_every_row_once_a_pass() -> None:
    order = plan(list(range(12)), steps=6, batch_size=4, seed=1)
    assert sorted(order) == sorted([*range(12), *range(12)])


def test_a_plan_puts_similar_lengths_together() -> None:
    lengths = [5, 50] * 32
    order = plan(lengths, steps=16, batch_size=4, seed=1)
    batches = [order[i : i + 4] for i in range(0, 64, 4)]
    assert sum(len({lengths[row] for row in batch}) > 1 for batch in batches) <= 2
    assert order == plan(lengths, steps=16, batch_size=4, seed=1) != plan(lengths, 16, 4, seed=2)
