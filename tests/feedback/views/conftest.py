from __future__ import annotations

import pytest
from django.test import Client

from feedback.models import Queue, User
from tests.factories import make_item, make_queue, make_user


@pytest.fixture
def ada(db: None) -> User:
    return make_user("ada")


@pytest.fixture
def queue(ada: User) -> Queue:
    queue = make_queue("everyday", members=(ada,), guidelines="Prefer what you would rather get.")
    for n in range(4):
        make_item(queue, texts=(f"First {n}.", f"Second {n}."))
    return queue


@pytest.fixture
def as_ada(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client
