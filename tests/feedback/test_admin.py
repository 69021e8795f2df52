from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from feedback import assigning, judging
from feedback.models import Event, Judgment, Queue, User
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


def test_a_queue_s_status_moves_by_its_verb_alone(root: Client) -> None:
    page = root.get(reverse("admin:feedback_queue_change", args=[Queue.objects.get().pk])).content.decode()
    assert 'name="status"' not in page and 'name="title"' in page
