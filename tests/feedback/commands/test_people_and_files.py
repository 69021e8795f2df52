"""The commands for accounts, tokens, prompts, exports and withdrawals."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from api import tokens
from api.models import Token
from feedback import assigning, judging
from feedback.models import Event, Judgment, Prompt, Queue, User
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db


def run(*words: Any) -> str:
    out = io.StringIO()
    call_command(*[str(word) for word in words], stdout=out, stderr=out)
    return out.getvalue()


def judged(queue: Queue, user: User, choice: str = "A") -> Judgment:
    lease = assigning.claim(queue=queue, annotator=user)
    assert lease is not None
    return judging.judge(assignment_id=lease.pk, annotator=user, body={"choice": choice}).judgment


# --- accounts and tokens ---
def test_create_user_prints_a_random_password_that_works() -> None:
    said = run("create_user", "ann", "--role", "annotator")
    user = User.objects.get(username="ann")
    assert user.role == "annotator" and user.check_password(said.split()[-1])


def test_create_user_does_not_repeat_a_password_it_was_given() -> None:
    assert "pw-given-1" not in run("create_user", "ann", "--role", "engineer", "--password", "pw-given-1")
    assert User.objects.get().check_password("pw-given-1")


def test_a_name_that_is_taken_is_one_clear_line() -> None:
    run("create_user", "ann", "--role", "annotator")
    with pytest.raises(CommandError, match="somebody named ann already"):
        run("create_user", "ann", "--role", "admin")
    assert User.objects.get().role == "annotator"


@pytest.mark.parametrize("name", ["a b", "", "x" * 151])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="username"):
        run("create_user", name, "--role", "annotator")


def test_only_an_admin_gets_into_the_admin_site() -> None:
    run("create_user", "eve", "--role", "engineer")
    run("create_user", "ada", "--role", "admin")
    assert [u.is_staff for u in User.objects.order_by("username")] == [True, False]


def test_create_token_prints_the_token_last_and_keeps_only_its_hash() -> None:
    make_user("ann")
    token = run("create_token", "ann").split()[-1]
    row = Token.objects.get()
    assert token.startswith("pl_") and row.digest == tokens.digest_of(token) and token not in str(vars(row))
    assert tokens.find(token) == row


def test_a_token_for_nobody_is_refused() -> None:
    with pytest.raises(CommandError, match="nobody named ann"):
        run("create_token", "ann")


# --- import_prompts ---
def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_prompts_are_stored_for_their_queue_and_once(tmp_path: Path) -> None:
    make_queue("q")
    long_form = {"messages": [{"role": "user", "content": "Two?"}], "metadata": {"topic": "numbers"}, "split": "dev"}
    file = write(tmp_path / "p.jsonl", {"prompt": "One?", "task": "explain"}, long_form)
    assert "2 prompts stored" in run("import_prompts", file, "--queue", "q")
    assert "0 prompts stored, 2 were there" in run("import_prompts", file, "--queue", "q")
    two = Prompt.objects.get(split="dev", metadata__topic="numbers")
    assert two.metadata["queue"] == "q" and Prompt.objects.filter(metadata__task="explain").count() == 1


def test_a_gz_file_is_read_too(tmp_path: Path) -> None:
    make_queue("q")
    file = tmp_path / "p.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({"prompt": "One?"}).encode()))
    assert "1 prompts stored" in run("import_prompts", file, "--queue", "q")


def test_one_bad_line_means_that_nothing_is_stored(tmp_path: Path) -> None:
    make_queue("q")
    file = write(tmp_path / "p.jsonl", {"prompt": "One?"}, "{broken", {"messages": []}, {"prompt": "x\0"})
    with pytest.raises(CommandError, match="nothing was imported") as refused:
        run("import_prompts", file, "--queue", "q")
    assert not Prompt.objects.exists()
    assert isinstance(refused.value.__cause__, Exception)


def test_every_bad_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_queue("q")
    file = write(tmp_path / "p.jsonl", {"prompt": "One?"}, {"messages": 5}, {"prompt": "Two?", "split": "test"})
    err = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_prompts", str(file), "--queue", "q", stderr=err)
    assert [line.partition(":")[0] for line in err.getvalue().splitlines()] == ["line 2", "line 3"]


def test_a_split_that_contradicts_its_group_names_the_line(tmp_path: Path) -> None:
    make_queue("q")
    file = write(tmp_path / "p.jsonl", {"prompt": "One?", "split": "dev"}, {"prompt": "one!", "split": "gate"})
    err = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_prompts", str(file), "--queue", "q", stderr=err)
    assert err.getvalue().startswith("line 2") and not Prompt.objects.exists()


def test_lines_with_responses_become_items_except_on_gate_prompts(tmp_path: Path) -> None:
    queue = make_queue("q")
    answers = [{"policy": "old", "content": "Yes."}, {"policy": "new", "content": "No."}]
    file = write(
        tmp_path / "p.jsonl",
        {"prompt": "One?", "split": "train", "responses": answers},
        {"prompt": "Two?", "split": "gate", "responses": answers},
    )
    said = run("import_prompts", file, "--queue", "q")
    assert "1 items added" in said and "1 answered gate prompts" in said
    assert [r.content for r in queue.items.get().ordered_responses()] == ["Yes.", "No."]


def test_an_unknown_queue_and_a_missing_file_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no queue q"):
        run("import_prompts", tmp_path / "none", "--queue", "q")
    make_queue("q")
    with pytest.raises(CommandError, match="cannot be read"):
        run("import_prompts", tmp_path / "none", "--queue", "q")


# --- export_judgments and withdraw ---
def test_an_export_names_what_was_chosen_by_the_responses_id() -> None:
    ann = make_user("ann")
    queue = make_queue("q", members=(ann,))
    item = make_item(queue)
    judgment = judged(queue, ann, "B")
    row = json.loads(run("export_judgments", "--queue", "q"))
    assert row["id"] == str(judgment.pk) and row["annotator"] == "ann"
    assert row["responses"] == [r.key for r in item.ordered_responses()]
    assert row["answer"] == {"choice": row["shown"][1]}


def test_an_export_leaves_out_what_was_taken_back_unless_asked() -> None:
    ann = make_user("ann")
    queue = make_queue("q", members=(ann,))
    make_item(queue)
    judging.undo(judgment_id=judged(queue, ann, "tie").pk, annotator=ann)
    judged(queue, ann, "both_bad")
    assert [json.loads(line)["answer"] for line in run("export_judgments", "--queue", "q").splitlines()] == [
        {"choice": "both_bad"}
    ]
    everything = [json.loads(line) for line in run("export_judgments", "--queue", "q", "--withdrawn").splitlines()]
    assert [row["withdrawn_reason"] for row in everything] == ["undone", None]


def test_an_empty_queue_exports_nothing() -> None:
    make_queue("q")
    assert run("export_judgments", "--queue", "q") == ""


def test_withdrawing_an_annotator_flags_all_they_said_and_nobody_elses() -> None:
    ann, bob = make_user("ann"), make_user("bob")
    queue = make_queue("q", members=(ann, bob), overlap=2)
    make_item(queue)
    mine, theirs = judged(queue, ann), judged(queue, bob)
    assert "Withdrew 1 judgments" in run("withdraw", "--annotator", "ann", "--reason", "a bot")
    mine.refresh_from_db(), theirs.refresh_from_db()
    assert mine.withdrawn_reason == "a bot" and mine.gathered_at is None and theirs.withdrawn_at is None
    assert Event.objects.filter(verb="judgment.withdrawn", object_id=str(mine.pk)).count() == 1


def test_withdrawing_twice_says_so() -> None:
    ann = make_user("ann")
    queue = make_queue("q", members=(ann,))
    make_item(queue)
    judgment = judged(queue, ann)
    run("withdraw", "--judgment", judgment.pk, "--reason", "a slip")
    assert "Withdrew 0 judgments; 1 were" in run("withdraw", "--judgment", judgment.pk, "--reason", "a slip")


@pytest.mark.parametrize("words", [["--annotator", "nobody"], ["--judgment", "nonsense"], ["--judgment", "0" * 32]])
def test_withdrawing_what_is_not_there_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandError):
        run("withdraw", *words, "--reason", "why")
