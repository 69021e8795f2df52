from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from feedback import assigning, judging, lifecycle
from feedback.models import Assignment, Judgment, Policy, Queue, Seat, User
from tests.factories import make_item, make_policy, make_prompt, make_queue, make_response, make_user

JSON = {"HTTP_ACCEPT": "application/json"}


def url(name: str, queue: Queue, *args: Any) -> str:
    return reverse(f"feedback:{name}", args=[queue.slug, *args])


def shown(user: User, place: int = 0) -> Assignment:
    return Assignment.objects.get(annotator=user, status="leased", place=place)


def judge(client: Client, queue: Queue, lease: Assignment, **said: Any) -> Any:
    accept = said.pop("accept", {})
    key = said.pop("key", str(uuid.uuid4()))
    return client.post(url("judge", queue, lease.pk), {"choice": "A", "key": key, **said}, **accept)


def test_the_page_holds_the_item_shown_and_the_one_after_it(as_ada: Client, queue: Queue, ada: User) -> None:
    page = as_ada.get(url("work", queue)).content.decode()
    assert f'data-assignment="{shown(ada).pk}"' in page
    assert f'data-assignment="{shown(ada, place=1).pk}"' in page.split("<template data-ahead>")[1]


def test_opening_the_page_twice_shows_the_same_item(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    first = shown(ada).pk
    as_ada.get(url("work", queue))
    assert shown(ada).pk == first and Assignment.objects.count() == 2


def test_without_scripts_a_judgment_leads_back_to_the_page(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    answer = judge(as_ada, queue, lease, rationale=" it is\r\nshorter ", strength="3")
    assert answer.status_code == 302 and answer.url == url("work", queue)
    stored = Judgment.objects.get()
    assert stored.answer == {"choice": lease.order[0]} and stored.strength == 3
    assert stored.rationale == "it is\nshorter"


def test_evidence_holds_side_order_input_and_time(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    judge(as_ada, queue, lease, choice="B", input="key", duration_ms="1234")
    stored = Judgment.objects.get()
    assert stored.evidence == {"slot": "B", "order": lease.order, "input": "key"}
    assert stored.duration_ms == 1234


@pytest.mark.parametrize("given", ["robot", "", "<script>"])
def test_an_unknown_input_is_called_form(as_ada: Client, queue: Queue, ada: User, given: str) -> None:
    as_ada.get(url("work", queue))
    judge(as_ada, queue, shown(ada), input=given)
    assert Judgment.objects.get().evidence["input"] == "form"


def test_a_tie_has_no_strength(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    judge(as_ada, queue, shown(ada), choice="tie", strength="3")
    assert Judgment.objects.get().strength is None


def test_with_scripts_the_answer_brings_the_next_item_ahead(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease, ahead = shown(ada), shown(ada, place=1)
    answer = judge(as_ada, queue, lease, accept=JSON, shown=str(ahead.pk)).json()
    assert answer["current"] == {"id": str(ahead.pk), "html": None}, "what is on the screen is not drawn again"
    assert answer["ahead"]["id"] == str(shown(ada, place=1).pk)
    assert 'name="choice"' in answer["ahead"]["html"]
    assert answer["line"] == "1 today · 3 left in this queue for you" and answer["can_undo"]


def test_a_retry_with_the_same_key_stores_once(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    answers = [judge(as_ada, queue, lease, accept=JSON, key="k") for _ in range(3)]
    assert [a.status_code for a in answers] == [200] * 3
    assert Judgment.objects.count() == 1


def test_an_item_judged_in_another_tab_is_told_so_and_the_note_is_kept(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    judge(as_ada, queue, lease)
    answer = judge(as_ada, queue, lease, rationale="a long thought")
    assert answer.status_code == 409 and b"a long thought" in answer.content
    scripted = judge(as_ada, queue, lease, accept=JSON)
    assert scripted.status_code == 409 and scripted.json()["error"]["code"] == "already_judged"


def test_a_lease_lost_to_somebody_else_says_so(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    assigning.expire(lease)
    other = make_user()
    Seat.objects.filter(pk=lease.seat_id).update(status="leased")
    Assignment.objects.create(
        seat_id=lease.seat_id, item_id=lease.item_id, queue=queue, annotator=other, order=[0, 1],
        leased_at=timezone.now(), expires_at=timezone.now(),
    )  # fmt: skip
    answer = judge(as_ada, queue, lease, accept=JSON)
    assert answer.status_code == 409 and answer.json()["error"]["code"] == "lease_lost"


def test_nonsense_is_refused_in_words(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    answer = judge(as_ada, queue, shown(ada), choice="C")
    assert answer.status_code == 400 and b"expected A, B, tie or both_bad" in answer.content
    assert not Judgment.objects.exists()


def test_skipping_shows_another_item(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    for _ in range(2):  # the second time nothing is left to skip, which is no error
        assert as_ada.post(url("skip", queue), {"assignment": lease.pk}).status_code == 302
    lease.refresh_from_db()
    assert lease.status == "skipped"
    as_ada.get(url("work", queue))
    assert shown(ada).item_id != lease.item_id


def test_undo_brings_the_question_back_with_what_was_said(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    lease = shown(ada)
    judge(as_ada, queue, lease, choice="B", rationale="too fast")
    answer = as_ada.post(url("undo", queue), **JSON).json()
    assert answer["current"]["id"] == str(lease.pk)
    assert "too fast" in answer["current"]["html"] and "You had answered: B better" in answer["current"]["html"]
    assert not answer["can_undo"] and Judgment.objects.get().withdrawn_reason == "undone"


def test_undoing_nothing_says_so(as_ada: Client, queue: Queue) -> None:
    answer = as_ada.post(url("undo", queue), **JSON)
    assert answer.status_code == 409 and "nothing to undo" in answer.json()["error"]["message"]


def test_a_judgment_of_somebody_else_cannot_be_undone(as_ada: Client, queue: Queue) -> None:
    other = make_user()
    queue.memberships.create(user=other)
    lease = assigning.claim(queue=queue, annotator=other)
    assert lease is not None
    theirs = judging.judge(assignment_id=lease.pk, annotator=other, body={"choice": "A"}).judgment
    assert as_ada.post(url("undo", queue), {"judgment": theirs.pk}).status_code == 404
    assert as_ada.post(url("undo", queue), {"judgment": "x"}).status_code == 404


def test_a_heartbeat_renews_both_leases(as_ada: Client, queue: Queue, ada: User) -> None:
    as_ada.get(url("work", queue))
    Assignment.objects.update(expires_at=timezone.now())
    answer = as_ada.post(url("heartbeat", queue), {"assignment": shown(ada).pk})
    assert answer.status_code == 200
    assert all(lease.expires_at > timezone.now() for lease in Assignment.objects.all())


def test_when_nothing_is_left_the_page_says_what_happens_next(as_ada: Client, ada: User) -> None:
    empty = make_queue(members=(ada,))
    page = as_ada.get(url("work", empty)).content.decode()
    assert "Nothing left for you here" in page and "next dataset" in page
    assert "Nothing left" in as_ada.get(url("work", empty), **JSON).json()["empty"]


def test_a_paused_queue_says_so(as_ada: Client, queue: Queue) -> None:
    lifecycle.advance(queue, "paused")
    page = as_ada.get(url("work", queue))
    assert page.status_code == 200 and b"This queue is paused" in page.content


@pytest.mark.parametrize("role", ["annotator", "reviewer", "engineer", "admin"])
def test_a_queue_of_others_does_not_exist(client: Client, queue: Queue, role: str) -> None:
    client.force_login(make_user(role=role))
    assert client.get(url("work", queue)).status_code == 404
    for name in ("undo", "skip", "heartbeat"):
        body = {"assignment": uuid.uuid4()}
        assert client.post(url(name, queue), body).status_code == 404
    assert client.post(url("judge", queue, uuid.uuid4()), {"choice": "A"}).status_code == 404


def test_somebody_elses_lease_does_not_exist(as_ada: Client, queue: Queue) -> None:
    other = make_user()
    queue.memberships.create(user=other)
    lease = assigning.claim(queue=queue, annotator=other)
    assert lease is not None
    assert judge(as_ada, queue, lease).status_code == 404
    assert as_ada.post(url("skip", queue), {"assignment": lease.pk}).status_code == 404


def test_a_script_that_is_signed_out_gets_401_and_a_person_the_sign_in_page(client: Client, queue: Queue) -> None:
    assert client.get(url("work", queue), **JSON).status_code == 401
    answer = client.get(url("work", queue))
    assert answer.status_code == 302 and answer.url.startswith(reverse("feedback:sign-in"))


def test_no_page_of_an_annotator_names_a_policy(as_ada: Client, ada: User) -> None:
    blind = make_queue("blind", members=(ada,))
    prompt = make_prompt()
    secret = [make_policy("telltale-one"), make_policy("telltale-two")]
    answers = [make_response(prompt, f"Text {n}.", policy=p) for n, p in enumerate(secret)]
    from feedback import pairing

    pairing.add_items(queue=blind, drafts=[pairing.Draft(prompt, answers)])
    seen = as_ada.get(url("work", blind)).content + as_ada.get(url("work", blind), **JSON).content
    lease = shown(ada)
    seen += judge(as_ada, blind, lease, accept=JSON).content + as_ada.post(url("undo", blind), **JSON).content
    judge(as_ada, blind, lease)
    seen += b"".join(as_ada.get(path).content for path in ("/", "/queues/", "/history/"))
    assert b"Text 0." in seen and b"Text 1." in seen
    for policy in Policy.objects.all():
        assert policy.slug.encode() not in seen
    for response in answers:
        assert response.key.encode() not in seen


def test_hostile_answers_stay_text(as_ada: Client, ada: User) -> None:
    queue = make_queue(members=(ada,))
    make_item(queue, texts=('<script>alert("x")</script>', "[a](javascript:alert(1)) </form></template>"))
    page = as_ada.get(url("work", queue)).content.decode()
    assert "<script>alert" not in page and 'href="javascript' not in page
    assert page.count("</template>") == 1
