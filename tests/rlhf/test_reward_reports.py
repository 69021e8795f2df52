"""A reward model's report: right pairs, right people, texts of the worst disagreements."""

from __future__ import annotations

import pytest

from feedback.models import Judgment
from rlhf import reward_reports
from rlhf.models import RewardModel
from tests.factories_rlhf import FIGURES, make_built_dataset, make_reward_model, make_run, write_predictions

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> RewardModel:
    dataset = make_built_dataset()
    run = make_run("reward", status="done", dataset=dataset, artifact=write_predictions(dataset))
    return make_reward_model("head", run=run, figures=FIGURES)


def test_human_lines_come_from_pairs_that_several_judged(model: RewardModel) -> None:
    found = reward_reports.report(model, names=False)
    assert found is not None and found["agreement"].n == 30
    low, high = found["human_lines"]
    assert low == found["agreement"].value < high < 1


def test_without_pairs_that_several_judged_there_is_no_human_line() -> None:
    dataset = make_built_dataset()
    run = make_run("reward", status="done", dataset=dataset, artifact=write_predictions(dataset, extra=0))
    found = reward_reports.report(make_reward_model(run=run), names=False)
    assert found is not None and found["human_lines"] is None


def test_people_have_names_for_admins_alone(model: RewardModel) -> None:
    author = Judgment.objects.values_list("author__username", flat=True)[0]

    def levels(names: bool) -> list[str]:
        found = reward_reports.report(model, names=names)
        assert found is not None
        return [level for _, rows in found["breakdowns"] for level, _ in rows]

    assert author not in levels(False)
    rows = reward_reports._rows(model.artifact)
    voices = reward_reports._voices(rows["judgment_ids"])
    assert [n for n, _ in reward_reports._by_person(rows, voices, True)] == [author]
    assert [n for n, _ in reward_reports._by_person(rows, voices, False)] == ["person 1"]


def test_the_worst_disagreements_come_with_their_texts_surest_first(model: RewardModel) -> None:
    found = reward_reports.report(model, names=False)
    assert found is not None
    worst = found["worst"]
    assert worst and all(row["sure"] > 0.5 for row in worst)
    assert [row["sure"] for row in worst] == sorted((row["sure"] for row in worst), reverse=True)
    assert "answer" in worst[0]["chosen"] or "poor" in worst[0]["chosen"]


def test_pairs_are_told_apart_by_which_answer_was_longer(model: RewardModel) -> None:
    found = reward_reports.report(model, names=False)
    assert found is not None
    by_length = dict(found["breakdowns"])["which answer people preferred"]
    assert {level for level, _ in by_length} == {"the longer one", "the shorter one"}


def test_an_artifact_without_the_table_has_no_report() -> None:
    assert reward_reports.report(make_reward_model(), names=False) is None
