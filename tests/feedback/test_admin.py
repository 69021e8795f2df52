from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from feedback import assigning, judging
from feedback.models import Event, Judgment, Queue, Seat, User
from tests.factories import make_item, make_queue, make_user

pytestmark = pytest.mark.django_db
OURS = [model for model in admin.site._registry if model._meta.app_label == "feedback"]


@pytest.fixture
def root(client: Client) -> Client:
    boss = make_user("root", role="admin")
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)
    queue = make_queue(members=(boss,))
    make_item(queue)
    lease = assigning.claim(queue=queue, annotator=boss)
    assert lease is not None
    judging.judge(assignment_id=lease.pk, annotator=boss, body={"choice": "A"})
    client.force_login(boss)
    return client


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_lists_and_rows_open(root: Client, model: type[Queue]) -> None:
    name = f"admin:feedback_{model._meta.model_name}"
    assert root.get(reverse(f"{name}_changelist")).status_code == 200
    assert root.get(reverse(f"{name}_change", args=[model.objects.first().pk])).status_code == 200


@pytest.mark.parametrize("model", [Judgment, Event])
def test_what_was_said_cannot_be_changed_here(root: Client, model: type[Judgment]) -> None:
    row = model.objects.first()
    assert row is not None
    name = f"admin:feedback_{model._meta.model_name}"
    assert root.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
    assert root.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def form(queue: Queue, **changed: object) -> dict[str, object]:
    names = ("title", "guidelines", "overlap", "lease_seconds", "gold_rate", "selection", "control_rate", "status")
    management = {f"memberships-{n}": v for n, v in (("TOTAL_FORMS", 0), ("INITIAL_FORMS", 0))}
    return {"rubric": "null", **{n: getattr(queue, n) for n in names}, **management, **changed}


def test_a_queue_changed_here_changes_by_its_verb(root: Client) -> None:
    queue = Queue.objects.get()
    url = reverse("admin:feedback_queue_change", args=[queue.pk])
    answer = root.post(url, form(queue, guidelines="New words.", overlap=2))
    assert answer.status_code == 302, answer.context["errors"]
    queue.refresh_from_db()
    assert queue.guidelines_version == 2 and Seat.objects.filter(queue=queue).count() == 2
    assert Event.objects.filter(verb="queue.changed").exists()


def test_a_member_let_in_here_is_written_down(root: Client) -> None:
    queue, guest = Queue.objects.get(), make_user("guest")
    url = reverse("admin:feedback_queue_change", args=[queue.pk])
    member = {"memberships-TOTAL_FORMS": 1, "memberships-0-user": guest.pk, "memberships-0-queue": queue.pk}
    root.post(url, form(queue, **member, **{"memberships-0-role": "manager", "memberships-0-kind": "human"}))
    assert queue.memberships.get(user=guest).role == "manager"
    assert Event.objects.filter(verb="queue.member", after__user="guest").exists()


def test_a_queue_is_made_here(root: Client) -> None:
    draft = form(Queue(title="New", status=""), slug="new", kind="comparison")
    answer = root.post(reverse("admin:feedback_queue_add"), draft)
    assert answer.status_code == 302, answer.context["errors"]
    assert Queue.objects.get(slug="new").status == "draft"
