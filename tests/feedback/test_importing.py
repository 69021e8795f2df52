"""Importing judged pairs: all at once, only once, bad lines named."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count

from feedback import aggregation, importing, intake
from feedback.errors import BadInput, Conflict
from feedback.models import ImportBatch, Item, Judgment, Policy, Preference, Prompt, Queue, Response
from tests.factories import make_queue

pytestmark = pytest.mark.django_db


def transcript(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


def pair(question: str, chosen: str = "Good.", rejected: str = "Bad.") -> str:
    return json.dumps({"chosen": transcript(question, chosen), "rejected": transcript(question, rejected)})


def question_of(split: str, start: int = 0) -> str:
    """A question whose group falls into the split by hash."""
    texts = (f"Where is place number {n}?" for n in range(start, start + 2000))
    return next(t for t in texts if intake.split_of(intake.group_of([{"role": "user", "content": t}])) == split)


def train_questions(count: int) -> list[str]:
    texts = (f"What is thing {n}?" for n in range(10 * count + 50))
    kept = [t for t in texts if intake.split_of(intake.group_of([{"role": "user", "content": t}])) == "train"]
    return kept[:count]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(path: Path, slug: str = "hh") -> importing.Report:
    return importing.import_preferences(path=path, format="hh", queue_slug=slug)


def counts() -> dict[str, int]:
    models: tuple[Any, ...] = (Prompt, Response, Item, Judgment, Queue, ImportBatch, Policy)
    return {model.__name__: model.objects.count() for model in models}


def test_a_pair_becomes_a_settled_item_with_its_judgment(tmp_path):
    report = run(write(tmp_path / "a.jsonl", pair(train_questions(1)[0], "Yes, this.", "No.")))
    judgment = Judgment.objects.select_related("item", "queue").get()
    picked = judgment.item.ordered_responses()[judgment.answer["choice"]]
    assert (report.imported, report.existing, report.queue) == (1, 0, "hh")
    assert picked.content == "Yes, this."
    assert (judgment.item.status, judgment.item.arm, judgment.annotator) == ("settled", "import", "imported")
    assert judgment.author is None and judgment.assignment is None and judgment.gathered_at is None
    assert judgment.item.seats.count() == 0
    assert (judgment.queue.status, judgment.queue.kind) == ("closed", "comparison")


def test_an_imported_pair_ends_as_a_preference(tmp_path):
    run(write(tmp_path / "a.jsonl", pair(train_questions(1)[0], "Yes, this.", "No.")))
    aggregation.gather()
    preference = Preference.objects.select_related("a").get()
    assert preference.n_a + preference.n_b == 1
    assert (preference.a.content == "Yes, this.") == (preference.n_a == 1)


def test_neither_author_nor_position_tells_which_answer_was_chosen(tmp_path):
    questions = train_questions(60)
    run(write(tmp_path / "a.jsonl", *(pair(q, f"Good {q}", f"Bad {q}") for q in questions)))
    positions = [j.answer["choice"] for j in Judgment.objects.all()]
    assert {r.policy.slug for r in Response.objects.select_related("policy")} == {"import-hh"}
    assert {r.draw for r in Response.objects.all()} == {0}
    assert 15 <= sum(positions) <= 45


def test_a_second_import_creates_nothing_and_says_so(tmp_path):
    path = write(tmp_path / "a.jsonl", *(pair(q) for q in train_questions(5)))
    run(path)
    before = counts()
    report = run(path)
    assert counts() == before
    assert (report.imported, report.existing) == (0, 5)


def test_the_same_lines_in_another_order_create_nothing(tmp_path):
    lines = [pair(q) for q in train_questions(4)]
    lines += [lines[0], pair(train_questions(1)[0], "Bad.", "Good.")]
    run(write(tmp_path / "a.jsonl", *lines))
    before = sorted(Judgment.objects.values_list("pk", flat=True))
    run(write(tmp_path / "b.jsonl", *reversed(lines)))
    assert sorted(Judgment.objects.values_list("pk", flat=True)) == before


def test_the_same_pair_twice_is_one_item_with_two_judgments(tmp_path):
    question = train_questions(1)[0]
    run(write(tmp_path / "a.jsonl", pair(question), pair(question), pair(question, "Bad.", "Good.")))
    item = Item.objects.get()
    aggregation.gather()
    preference = item.preferences.get()
    assert item.judgments.count() == 3
    assert sorted((preference.n_a, preference.n_b)) == [1, 2]


def test_pairs_on_gate_prompts_are_kept_out_and_counted(tmp_path):
    lines = [pair(question_of("gate")), pair(question_of("train")), pair(question_of("dev"))]
    report = run(write(tmp_path / "a.jsonl", *lines))
    assert (report.gate, report.imported) == (1, 2)
    assert set(Prompt.objects.values_list("split", flat=True)) == {"train", "dev"}


def test_a_group_keeps_the_split_it_has(tmp_path):
    question = question_of("train")
    intake.add_prompts(rows=[{"messages": [{"role": "user", "content": question}], "split": "gate"}])
    report = run(write(tmp_path / "a.jsonl", pair(f"{question}!"), pair(question_of("train", 500))))
    assert (report.gate, report.imported) == (1, 1)


def test_an_import_killed_half_way_is_invisible_and_completes_once(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 3)
    path = write(tmp_path / "a.jsonl", *(pair(q) for q in train_questions(10)))
    real, calls = importing._store_judgments, []

    def dying(*args: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(importing, "_store_judgments", dying)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    assert set(Item.objects.values_list("status", flat=True)) == {"staged"}
    assert aggregation.gather() == 0

    monkeypatch.setattr(importing, "_store_judgments", real)
    report = run(path)
    assert (report.imported, report.existing, report.resumed) == (10, 0, True)
    assert set(Item.objects.values_list("status", flat=True)) == {"settled"}
    assert Judgment.objects.count() == Item.objects.count() == 10
    assert [b.status for b in ImportBatch.objects.all()] == ["done"]
    assert not Item.objects.annotate(n=Count("links")).exclude(n=2)


def test_what_a_killed_import_left_staged_is_finished_by_another_file(tmp_path, monkeypatch):
    lines = [pair(q) for q in train_questions(4)]
    monkeypatch.setattr(importing, "_finish", lambda work: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "a.jsonl", *lines))
    monkeypatch.undo()
    report = run(write(tmp_path / "b.jsonl", *lines[:2]))
    assert report.imported == 2
    assert Item.objects.filter(status="settled").count() == 2


def test_bad_lines_are_named_and_counted_and_the_rest_comes_in(tmp_path):
    good = train_questions(2)
    lines = [pair(good[0]), "{not json", pair("What?", "same", "same"), pair(good[1]), '{"chosen": "x"}']
    report = run(write(tmp_path / "a.jsonl", *lines))
    assert report.imported == 2
    assert report.bad.total() == 3
    assert [line.split(":")[0] for line in report.shown] == ["line 2", "line 3", "line 5"]


def test_only_the_first_bad_lines_are_shown_but_all_are_counted(tmp_path):
    report = run(write(tmp_path / "a.jsonl", pair(train_questions(1)[0]), *["{"] * 50))
    assert len(report.shown) == importing.SHOWN
    assert report.bad.total() == 50


def test_a_gz_file_cut_short_gives_what_could_be_read(tmp_path):
    import random

    rng = random.Random(3)
    noise = ("".join(rng.choices("abcdefghij ", k=4000)) for _ in range(40))
    lines = [pair(q, f"Good {n}") for q, n in zip(train_questions(40), noise, strict=True)]
    packed = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    report = run(path)
    assert 0 < report.imported < 40
    assert "cut short" in report.shown[-1]


@pytest.mark.parametrize("content", ["", "hello\nworld\n", '{"prompt": "p", "completion": "c"}\n'])
def test_a_file_without_a_pair_is_refused_and_leaves_nothing(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(BadInput, match="nothing in it can be read as hh pairs"):
        run(path)
    assert not any(counts().values())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        run(tmp_path / "nowhere.jsonl")


def test_a_queue_of_a_decision_takes_no_imports(tmp_path):
    make_queue("gate-q", purpose="gate")
    with pytest.raises(Conflict):
        run(write(tmp_path / "a.jsonl", pair(train_questions(1)[0])), "gate-q")


def test_without_a_slug_the_queue_is_named_after_the_file(tmp_path):
    path = write(tmp_path / "my_pairs.v2.jsonl", pair(train_questions(1)[0]))
    assert importing.import_preferences(path=path, format="hh").queue == "my_pairs"
    assert Queue.objects.get().title == "my pairs"


def test_no_transaction_writes_more_than_a_thousand_rows(tmp_path, monkeypatch):
    """Chunks are sized by the rows they become; here the largest is items, links and judgments."""
    rows_a_pair = {"prompts": 1, "responses": 2, "items": 1 + 2 + 1}
    assert max(rows_a_pair.values()) * importing.CHUNK <= 1000


def test_the_real_file_comes_in_within_seconds_and_only_once(test_data):
    path = test_data / "hh_harmless_dev.jsonl.gz"
    start = time.process_time()
    report = run(path)
    seconds = time.process_time() - start
    assert report.pairs + report.bad.total() >= 1181
    assert report.imported == report.pairs - report.gate > 900
    assert seconds < 5
    before = counts()
    assert run(path).imported == 0
    assert counts() == before
