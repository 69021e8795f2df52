from __future__ import annotations

import subprocess
import sys

import pytest

from rlhf.tiny_corpus import RUDE, tiny_corpus, tiny_prompts


def test_six_hundred_distinct_prompts_exist() -> None:
    assert len(set(tiny_prompts(600, seed=1))) == 600


def test_prompts_depend_on_the_seed_alone() -> None:
    assert tiny_prompts(50, seed=1) == tiny_prompts(50, seed=1) != tiny_prompts(50, seed=2)


def test_asking_for_more_prompts_than_exist_says_how_many_do() -> None:
    with pytest.raises(ValueError, match="only 654 distinct prompts exist"):
        tiny_prompts(10_000, seed=1)


def test_answers_differ_in_manner() -> None:
    answers = [answer for _, answer in tiny_corpus(400, seed=1)]
    assert 0.08 < sum(answer in RUDE for answer in answers) / len(answers) < 0.25
    assert len({len(answer.split()) for answer in answers}) > 15


def test_the_corpus_loads_no_learning_library() -> None:
    code = "import rlhf.tiny_corpus, rlhf.spec, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
