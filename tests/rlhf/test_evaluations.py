from __future__ import annotations

from typing import Any

import pytest

from feedback.errors import BadInput
from feedback.models import Event
from rlhf import evaluations
from rlhf.models import Evaluation
from tests.factories import make_policy

pytestmark = pytest.mark.django_db


def test_figures_are_stored_whole_and_the_newest_are_found_by_the_evaluators_name() -> None:
    policy = make_policy()
    evaluations.store(policy=policy, evaluator="lm-eval", figures={"gsm8k": {"value": 0.3}})
    evaluations.store(policy=policy, evaluator="lm-eval", figures={"gsm8k": {"value": 0.41, "se": 0.02, "n": 500}})
    evaluations.store(policy=policy, evaluator="other", figures={"gsm8k": {"value": 0.9}})
    found = evaluations.latest(policy=policy, evaluator="lm-eval")
    assert found is not None and found.figures == {"gsm8k": {"value": 0.41, "se": 0.02, "n": 500}}
    assert evaluations.latest(policy=make_policy(), evaluator="lm-eval") is None
    assert Event.objects.filter(verb="policy.evaluated").count() == 3


@pytest.mark.parametrize(
    ("figures", "where"),
    [
        ({}, "figures"),
        ([1], "figures"),
        ({"a": 0.5}, "figures.a"),
        ({"a": {"se": 0.1}}, "figures.a.value"),
        ({"a": {"value": float("nan")}}, "figures.a.value"),
        ({"a": {"value": True}}, "figures.a.value"),
        ({"a": {"value": 1, "se": -1}}, "figures.a.se"),
        ({"a": {"value": 1, "n": 2.5}}, "figures.a.n"),
        ({"a": {"value": 1, "stderr": 2}}, "figures.a.stderr"),
        ({"a b": {"value": 1}}, "figures"),
    ],
)
def test_bad_figures_are_refused_by_name_and_nothing_is_stored(figures: Any, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        evaluations.store(policy=make_policy(), evaluator="lm-eval", figures=figures)
    assert caught.value.details["where"] == where
    assert not Evaluation.objects.exists()
