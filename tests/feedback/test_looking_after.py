"""One-time links, erasure, time and money, files from a page, calibration, and acting on many items."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from feedback import accounts, aggregation, assigning, calibrating, items, judging, money, queues, uploads
from feedback.errors import BadInput, Conflict, NotFound
from feedback.models import Assignment, Event, Item, Judgment, Membership, Queue, User
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough word"


def answer(queue: Queue, person: User, choice: str = "A", **body: object) -> Judgment:
    lease = assigning.claim(queue=queue, annotator=person)
    assert lease is not None
    return judging.judge(assignment_id=lease.pk, annotator=person, body={"choice": choice, **body}).judgment


def test_a_link_lets_one_person_in_once_with_their_consent(settings: Settings) -> None:
    settings.PLUMBLINE_CONSENT_VERSION = "7"
    boss, queue = make_user(role="admin"), make_queue()
    row, word = accounts.invite(queue=queue, group="night shift", actor=boss)
    assert word.split(":")[0] not in str(row.__dict__), "only a hash is kept"
    with pytest.raises(BadInput, match="consent"):
        accounts.accept(word=word, username="nina", password=PASSWORD)
    nina = accounts.accept(word=word, username="nina", password=PASSWORD, consent=True)
    assert (nina.role, nina.consent_version) == ("annotator", "7")
    assert Membership.objects.get(user=nina).queue == queue and nina.groups.get().name == "night shift"
    with pytest.raises(NotFound, match="has been used"):
        accounts.accept(word=word, username="otto", password=PASSWORD, consent=True)


def test_forged_and_old_links_open_nothing() -> None:
    row, word = accounts.invite(actor=make_user(role="admin"))
    with pytest.raises(NotFound, match="not one of ours"):
        accounts.open_link(word[:-1] + ("x" if word[-1] != "x" else "y"))
    type(row).objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotFound, match="too old"):
        accounts.open_link(word)


def test_a_name_that_is_taken_does_not_use_up_the_link() -> None:
    _, word = accounts.invite(actor=make_user("boss", role="admin"))
    with pytest.raises(Conflict):
        accounts.accept(word=word, username="boss", password=PASSWORD, consent=True)
    assert accounts.accept(word=word, username="nina", password=PASSWORD, consent=True).username == "nina"


def test_erasure_leaves_a_pseudonym_and_the_judgments() -> None:
    ann, boss = make_user("ann"), make_user(role="admin")
    queue = make_queue()
    queues.admit(queue=queue, user=ann, actor=boss)
    make_item(queue)
    answer(queue, ann)
    name = accounts.erase(user=ann, actor=boss)
    ann.refresh_from_db()
    assert ann.username == name and not ann.is_active and not ann.has_usable_password()
    assert Judgment.objects.get().author == ann
    assert not Event.objects.filter(after__user="ann").exists(), "the trail knows the pseudonym alone"


def test_time_is_split_by_use_and_priced_by_the_persons_hour_first() -> None:
    """Shown 90 s ago and answered now, at 20 an hour: 90 / 3600 * 20 = 0.50 each; active time as measured."""
    ann, ben = make_user(), make_user()
    accounts.describe(user=ann, price_hour=Decimal("20"))
    queue = make_queue(members=(ann, ben), overlap=2, price_hour=Decimal("40"))
    make_item(queue)
    for person in (ann, ben):
        answer(queue, person, duration_ms=60_000)
    Assignment.objects.update(shown_at=timezone.now() - timedelta(seconds=90), ended_at=timezone.now())
    bill = money.bill(queues=[queue])
    by_use = bill.by_use()
    assert set(by_use) == {"train", "overlap"}
    assert by_use["train"].cost == pytest.approx(Decimal("0.5"), abs=Decimal("0.01"))
    assert by_use["overlap"].cost == pytest.approx(Decimal("1"), abs=Decimal("0.01"))
    assert by_use["train"].active_hours == pytest.approx(60 / 3600)
    out = io.StringIO()
    assert money.write_csv(queues=[queue], to=out) == 2
    assert out.getvalue().splitlines()[0] == ",".join(money.HEAD)


def test_a_cost_without_a_price_is_unknown_rather_than_nought() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue)
    answer(queue, ann)
    assert money.summary(queues=[queue])["per_judgment"] is None


def test_a_name_that_looks_like_a_formula_is_quoted() -> None:
    assert money._safe("=1+1") == "'=1+1" and money._safe("ann") == "ann"


@pytest.fixture
def place(settings: Settings, tmp_path: Path) -> Path:
    settings.PLUMBLINE_ARTIFACTS = tmp_path
    return tmp_path


def test_a_csv_becomes_items_by_its_columns(place: Path) -> None:
    queue = make_queue()
    text = "question,chosen,rejected,lang\nWhy is it?,Because.,So.,de\nAnd how?,Like this.,Like that.,de\n"
    batch = uploads.receive(queue=queue, file=io.BytesIO(text.encode()), name="pairs.csv")
    assert batch.mapping == {"prompt": "question", "response_a": "chosen", "response_b": "rejected", "language": "lang"}
    uploads.order(batch=batch, mapping=batch.mapping)
    uploads.execute(batch_id=batch.pk)
    batch.refresh_from_db()
    assert batch.status == "done", batch.report
    assert batch.report["items"] + batch.report["gate"] == 2
    assert set(Item.objects.values_list("language", flat=True)) <= {"de"}


def test_a_file_with_a_bad_line_is_refused_whole_and_the_line_named(place: Path) -> None:
    queue = make_queue()
    good, bad = '"response_a": "A.", "response_b": "B."', '"response_a": 3, "response_b": "B."'
    lines = f'{{"prompt": "Why?", {good}}}\n{{"prompt": "How?", {bad}}}\n'.encode()
    batch = uploads.receive(queue=queue, file=io.BytesIO(lines), name="pairs.jsonl")
    uploads.order(batch=batch, mapping=batch.mapping)
    uploads.execute(batch_id=batch.pk)
    batch.refresh_from_db()
    assert batch.status == "failed" and batch.report["lines"] == ["line 2: response_a: expected text."]
    assert not Item.objects.exists()


def test_a_file_without_rows_is_refused_at_the_door(place: Path) -> None:
    with pytest.raises(BadInput, match="no line of it"):
        uploads.receive(queue=make_queue(), file=io.BytesIO(b"nothing\n"), name="a.jsonl")


def test_a_calibration_is_blind_until_revealed_and_ends_in_new_guidelines() -> None:
    ann, ben, boss = make_user(), make_user(), make_user(role="admin")
    queue = make_queue(members=(ann, ben))
    for _ in range(3):
        make_item(queue)
    session = calibrating.start(queue=queue, people=[ann, ben], count=2, actor=boss)
    for person, choice in ((ann, "tie"), (ben, "both_bad")):
        for _ in range(2):
            answer(queue, person, choice)
    assert [row.done for row in calibrating.progress(session)] == [2, 2]
    with pytest.raises(Conflict, match="hidden"):
        calibrating.spread(session)
    calibrating.reveal(session=session, actor=boss)
    assert [sorted(row.answers) for row in calibrating.spread(session)] == [["both_bad", "tie"]] * 2
    calibrating.conclude(session=session, guidelines="A tie where neither helps.", actor=boss)
    session.refresh_from_db()
    assert (session.version_before, session.version_after) == (1, 2)
    found = calibrating.before_and_after(session)
    assert found["before"]["n"] == 2 and found["after"]["reason"] == "no item was judged by two people"


def test_one_thing_is_done_to_many_items() -> None:
    ann, boss = make_user(), make_user(role="admin")
    queue = make_queue(members=(ann,))
    first, second = make_item(queue), make_item(queue)
    rows = Item.objects.filter(queue=queue)
    items.act(queue=queue, rows=rows, action="priority", value="5", people=[], actor=boss)
    items.act(queue=queue, rows=rows.filter(pk=second.pk), action="assign", value="", people=[ann.username], actor=boss)
    lease = assigning.claim(queue=queue, annotator=ann)
    assert lease is not None and lease.item_id == second.pk, "what is kept for somebody comes first"
    said = items.act(queue=queue, rows=rows.filter(pk=first.pk), action="close", value="", people=[], actor=boss)
    assert said == "1 of 1 items: closed."
    with pytest.raises(BadInput, match="members of this queue"):
        items.act(queue=queue, rows=rows, action="assign", value="", people=["nobody"], actor=boss)


def test_what_everybody_agrees_on_can_be_copied_as_gold() -> None:
    ann, ben, boss = make_user(), make_user(), make_user(role="admin")
    queue = make_queue(members=(ann, ben), overlap=2)
    agreed = make_item(queue)
    answer(queue, ann, "tie"), answer(queue, ben, "tie")
    aggregation.gather()
    items.act(queue=queue, rows=Item.objects.filter(pk=agreed.pk), action="gold", value="", people=[], actor=boss)
    assert Item.objects.get(gold__isnull=False).gold == {"choice": "tie"}


def test_who_lacks_a_skill_or_a_language_is_not_asked() -> None:
    ann = make_user()
    queue = make_queue(members=(ann,))
    make_item(queue, language="de")
    assert assigning.claim(queue=queue, annotator=ann) is None
    accounts.describe(user=ann, languages=["de"])
    assert assigning.claim(queue=queue, annotator=ann) is not None
