"""Seeding the demo: all of it, once, into an empty database."""

from __future__ import annotations

import io
import json
import time

import pytest
from django.core.management import call_command
from django.db.models import Count

from feedback.models import Event, Item, Membership, Policy, Prompt, Queue, Response, User
from rlhf import demo_workspace, deployments, selection
from rlhf.models import Decision, Loop, Run
from tests.factories import make_prompt, make_user

pytestmark = pytest.mark.django_db


def counts() -> list[int]:
    models = (User, Prompt, Policy, Response, Queue, Item, Membership, Loop, Run, Event)
    return [model.objects.count() for model in models]


def test_an_empty_database_gets_both_worlds_within_seconds():
    start = time.process_time()
    report = demo_workspace.seed()
    assert time.process_time() - start < 10
    assert report.seeded
    splits = Prompt.objects.filter(metadata__workspace="quick").values_list("split").annotate(n=Count("pk"))
    assert dict(splits) == {"train": 300, "dev": 40, "gate": 200}
    demo = Prompt.objects.filter(metadata__workspace="demo")
    assert demo.filter(split="train").count() >= 240
    assert demo.filter(split="gate").count() >= 200
    assert {loop.slug for loop in Loop.objects.filter(demo=True)} == {"demo", "quick"}
    assert deployments.live("production").slug == "smollm2-135m"
    assert deployments.live("quick").slug == "tiny"


def test_a_concise_system_prompt_is_put_to_the_vote_against_the_plain_model():
    demo_workspace.seed()
    decision = Decision.objects.get()
    assert (decision.candidate.slug, decision.live.slug) == ("smollm2-135m-concise", "smollm2-135m")
    assert (decision.alias, decision.status, len(decision.entries)) == ("contrast", "preparing", 60)
    assert decision.candidate.system_prompt and decision.candidate.adapter == ""
    assert deployments.live("production").slug == "smollm2-135m"


def test_a_second_seeding_changes_nothing_and_shows_no_password():
    demo_workspace.seed()
    before = counts()
    report = demo_workspace.seed()
    assert counts() == before
    assert not report.seeded and not report.sign_ins
    assert "already seeded" in report.note


def test_a_database_with_other_work_is_left_alone():
    make_prompt()
    before = counts()
    assert "other work" in demo_workspace.seed().note
    assert counts() == before


def test_an_account_that_exists_keeps_its_password():
    make_user("ann", password="my-own-word-7")
    report = demo_workspace.seed()
    assert [name for name, _, _ in report.sign_ins] == ["eve", "ada"]
    assert User.objects.get(username="ann").check_password("my-own-word-7")


def test_the_sign_ins_work_and_have_their_roles():
    for name, role, password in demo_workspace.seed().sign_ins:
        user = User.objects.get(username=name)
        assert user.role == role and user.check_password(password)


def test_models_that_are_needed_are_ordered():
    demo_workspace.seed()
    assert set(Run.objects.values_list("kind", "base")) >= {("convert", "smollm2-135m-instruct"), ("pretrain", "tiny")}


def test_queues_are_marked_as_demo_and_open_to_the_annotator():
    demo_workspace.seed()
    for queue in Queue.objects.filter(purpose="label"):
        assert queue.demo and queue.status == "open"
        assert queue.memberships.get().user.username == "ann"


def write_answers(tmp_path, settings, texts_of) -> list[dict]:
    """A project directory whose answers are what `texts_of` gives for a prompt's number."""
    prompts = (settings.BASE_DIR / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in prompts]
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "prompts.jsonl").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    train = [row for row in rows if row["split"] == "train"]
    answers = [
        {"prompt": row["external_id"], "draw": draw, "content": text, "finish_reason": "stop"}
        for n, row in enumerate(train)
        for draw, text in enumerate(texts_of(n))
    ]
    (folder / "responses.jsonl").write_text("\n".join(map(json.dumps, answers)) + "\n", encoding="utf-8")
    settings.BASE_DIR = tmp_path
    return train


def test_every_train_prompt_is_asked_once_with_two_answers_that_differ_visibly(tmp_path, settings):
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
    train = write_answers(
        tmp_path, settings, lambda n: [f"{words[d]} says {words[(d + n) % 9]} {d}." for d in range(3)]
    )
    report = demo_workspace.seed()
    assert report.items == len(train)
    assert set(Item.objects.values_list("arm", flat=True)) == {"control"}
    for item in Item.objects.all()[:40]:
        a, b = (r.content for r in item.ordered_responses())
        assert selection.differ_visibly(a, b)


def test_prompts_whose_answers_are_alike_are_left_out(tmp_path, settings):
    write_answers(tmp_path, settings, lambda n: ["The same.", "the  same."] if n else ["One.", "Another thing."])
    assert demo_workspace.seed().items == 1


def test_without_answers_it_says_how_to_make_them(tmp_path, settings):
    write_answers(tmp_path, settings, lambda n: [])
    (tmp_path / "demo" / "responses.jsonl").unlink()
    report = demo_workspace.seed()
    assert report.items == 0
    assert "bin/manage sample" in report.note


def test_the_toy_models_queue_fills_once_it_has_answered():
    demo_workspace.seed()
    assert demo_workspace.fill_quick() == 0
    policy = Policy.objects.get(slug="tiny")
    prompts = Prompt.objects.filter(metadata__workspace="quick", split="train")[:5]
    Response.objects.bulk_create(
        Response(key=f"{p.pk}-{d}", prompt=p, policy=policy, draw=d, content=f"Answer {d} number {d * 7}.")
        for p in prompts
        for d in range(4)
    )
    assert demo_workspace.seed().items == 5
    assert demo_workspace.fill_quick() == 0


def test_the_command_prints_each_sign_in():
    out = io.StringIO()
    call_command("seed_demo", stdout=out)
    said = out.getvalue()
    assert all(f"sign in as {name}" in said for name in ("ann", "eve", "ada"))
    out = io.StringIO()
    call_command("seed_demo", stdout=out)
    assert "already seeded" in out.getvalue() and "password " not in out.getvalue()
