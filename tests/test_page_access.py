"""Who may open which page: every route of the site, every role. A route without a row here fails.

The API has its own table (tests/api/test_access.py); the administration is Django's, for staff alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver, reverse

from feedback import accounts, assigning, calibrating, judging, uploads
from feedback.models import ImportBatch, Queue, User
from tests.factories import make_item, make_member, make_policy, make_queue, make_user
from tests.factories_rlhf import make_dataset, make_decision, make_loop, make_reward_model, make_run

# Columns: what the caller gets. "ok" is anything but a way to the sign-in page ("in"), 403 and 404.
#   stranger: annotator, in no queue      member, reviewer, manager: of the queue in question
WHO = ("nobody", "stranger", "member", "reviewer", "manager", "engineer", "admin")
ANYBODY = ("ok",) * 7
SIGNED_IN = ("in", *("ok",) * 6)
ENGINEERS = ("in", 403, 403, 403, 403, "ok", "ok")
ADMINS = ("in", 403, 403, 403, 403, 403, "ok")
WORKS = ("in", 404, "ok", "ok", "ok", 404, 404)
OWN = ("in", 404, "ok", 404, 404, 404, 404)
CONSOLE = ("in", 403, 403, "ok", "ok", "ok", "ok")
READS = ("in", 404, 403, "ok", "ok", "ok", "ok")
MANAGES = ("in", 404, 403, 403, "ok", 403, "ok")
REVIEWS = ("in", 404, 403, "ok", "ok", 403, "ok")
TAUGHT = ("in", "ok", "ok", "ok", "ok", "ok", "ok")
HIDDEN = ("in", *(404,) * 6)  # made for tests of the design, and there in DEBUG alone

MATRIX: dict[str, dict[str, tuple[Any, ...]]] = {
    "healthz": {"get": ANYBODY}, "readyz": {"get": ANYBODY}, "metrics": {"get": ANYBODY},
    "feedback:home": {"get": SIGNED_IN}, "feedback:queues": {"get": SIGNED_IN}, "feedback:history": {"get": SIGNED_IN},
    "feedback:reviewed": {"get": SIGNED_IN}, "feedback:sign-in": {"get": ANYBODY},
    "feedback:sign-out": {"post": ANYBODY},
    "feedback:design": {"get": HIDDEN}, "feedback:join": {"get": ANYBODY},
    "feedback:reaction": {"get": (404,) * 7},  # a token that nobody has signed
    "feedback:work": {"get": WORKS}, "feedback:judge": {"post": OWN}, "feedback:skip": {"post": OWN},
    "feedback:undo": {"post": ("in", 404, "ok", "ok", "ok", 404, 404)}, "feedback:heartbeat": {"post": OWN},
    "feedback:standing": {"get": WORKS, "post": WORKS},
    "feedback:spread": {"get": ("in", 404, "ok", 403, "ok", 404, 404)},
    "feedback:console": {"get": CONSOLE}, "feedback:console-new": {"get": ADMINS, "post": ADMINS},
    "feedback:console-audit": {"get": ADMINS}, "feedback:console-csv": {"get": ("in", 403, 403, 403, "ok", 403, "ok")},
    "feedback:console-everybody": {"get": ADMINS}, "feedback:console-invite": {"post": ADMINS},
    "feedback:console-profile": {"get": ADMINS}, "feedback:console-change": {"post": ADMINS},
    "feedback:console-queue": {"get": READS}, "feedback:console-preview": {"get": READS},
    "feedback:console-guidelines": {"get": READS}, "feedback:console-quality": {"get": READS},
    "feedback:console-edit": {"get": MANAGES, "post": MANAGES}, "feedback:console-move": {"post": MANAGES},
    "feedback:console-clone": {"post": ("in", 403, 403, 403, 403, 403, "ok")},
    "feedback:console-items": {"get": MANAGES}, "feedback:console-act": {"post": MANAGES},
    "feedback:console-item": {"get": REVIEWS, "post": REVIEWS},
    "feedback:console-import": {"get": MANAGES, "post": MANAGES},
    "feedback:console-import-file": {"get": MANAGES, "post": MANAGES},
    "feedback:console-people": {"get": MANAGES}, "feedback:console-people-act": {"post": MANAGES},
    "feedback:console-review": {"get": REVIEWS, "post": REVIEWS}, "feedback:console-flags": {"get": REVIEWS},
    "feedback:console-calibration": {"get": MANAGES, "post": MANAGES}, "feedback:console-money": {"get": MANAGES},
    "rlhf:teach": {"get": TAUGHT}, "rlhf:teach-start": {"post": TAUGHT}, "rlhf:teach-vote": {"post": TAUGHT},
    "rlhf:teach-undo": {"post": TAUGHT},
    "rlhf:loops": {"get": ENGINEERS}, "rlhf:loop": {"get": ENGINEERS}, "rlhf:loop-go": {"post": ENGINEERS},
    "rlhf:loop-retry": {"post": ENGINEERS}, "rlhf:loop-pause": {"post": ENGINEERS},
    "rlhf:alarm-close": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # no alarm is named
    "rlhf:leaderboard": {"get": ENGINEERS}, "rlhf:gate-prompts": {"get": ENGINEERS},
    "rlhf:leaderboard-ask": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # no queue is named
    "rlhf:deployments": {"get": ENGINEERS},
    "rlhf:canary": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # nothing is live
    "rlhf:runs": {"get": ENGINEERS}, "rlhf:run": {"get": ENGINEERS}, "rlhf:run-metrics": {"get": ENGINEERS},
    "rlhf:run-figures": {"get": ENGINEERS}, "rlhf:runs-compare": {"get": ENGINEERS},
    "rlhf:runs-compare-metrics": {"get": ENGINEERS},
    "rlhf:run-cancel": {"post": ENGINEERS}, "rlhf:run-resume": {"post": ENGINEERS},
    "rlhf:datasets": {"get": ENGINEERS}, "rlhf:dataset": {"get": ENGINEERS},
    "rlhf:dataset-file": {"get": ("in", 403, 403, 403, 403, 404, 404)},  # this one is not built yet
    "rlhf:dataset-rows": {"get": ("in", 403, 403, 403, 403, 404, 404)},
    "rlhf:dataset-new": {"get": ENGINEERS, "post": ENGINEERS}, "rlhf:dataset-again": {"post": ENGINEERS},
    "rlhf:lineage": {"get": ENGINEERS},
    "rlhf:policies": {"get": ENGINEERS}, "rlhf:policy": {"get": ENGINEERS}, "rlhf:reward-model": {"get": ENGINEERS},
    "rlhf:policies-compare": {"get": ENGINEERS},
    "rlhf:archive": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # no kind is named "which"
    "rlhf:card": {"get": ("in", 403, 403, 403, 403, 404, 404)},
    "rlhf:download": {"get": ("in", 403, 403, 403, 403, 404, 404)},
    "rlhf:promote": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # no policy is named
    "rlhf:rollback": {"post": ("in", 403, 403, 403, 403, 404, 404)},  # nothing is live
    "rlhf:decisions": {"get": ENGINEERS}, "rlhf:decision": {"get": ENGINEERS},
    "rlhf:decision-override": {"post": ENGINEERS}, "rlhf:decision-abandon": {"post": ENGINEERS},
    "rlhf:run-start": {"get": ENGINEERS, "post": ENGINEERS},
}  # fmt: skip


def routes() -> Iterator[tuple[str, Any]]:
    def walk(resolver: Any, space: str = "") -> Iterator[tuple[str, Any]]:
        for entry in resolver.url_patterns:
            if not hasattr(entry, "url_patterns"):
                yield space + str(entry.name), entry.pattern.converters
            elif entry.namespace not in ("api", "admin"):
                yield from walk(entry, f"{entry.namespace}:" if entry.namespace else space)

    yield from walk(get_resolver())


ROUTES = dict(routes())


@pytest.fixture
def place(db: None, settings: Any, tmp_path: Any) -> dict[str, Any]:
    """A workspace with one of everything, and what fills in the addresses."""
    settings.PLUMBLINE_ARTIFACTS = tmp_path
    people = {
        "stranger": make_user("stranger"), "member": make_user("member"), "manager": make_user("manager"),
        "reviewer": make_user("reviewer", role="reviewer"), "engineer": make_user("engineer", role="engineer"),
        "admin": make_user("admin", role="admin"),
    }  # fmt: skip
    queue = make_queue("which", members=(people["member"],))
    make_member(queue, people["reviewer"], role="reviewer")
    make_member(queue, people["manager"], role="manager")
    items = [make_item(queue) for _ in range(6)]
    session = calibrating.start(
        queue=queue, people=[people["member"], people["manager"]], count=2, actor=people["admin"]
    )
    calibrating.reveal(session=session, actor=people["admin"])
    lease = assigning.claim(queue=queue, annotator=people["member"])
    assert lease is not None
    judging.judge(assignment_id=lease.pk, annotator=people["member"], body={"choice": "tie"})
    lease = assigning.claim(queue=queue, annotator=people["member"])
    assert lease is not None
    values = {
        "feedback:judge": {"slug": "which", "pk": lease.pk}, "feedback:spread": {"slug": "which", "pk": session.pk},
        "feedback:join": {"word": accounts.invite(actor=people["admin"])[1]},
        "feedback:console-item": {"slug": "which", "key": items[5].key},
        "feedback:console-import-file": {"slug": "which", "pk": uploaded(queue, people["admin"]).pk},
        "rlhf:loop": {"slug": make_loop("loop").slug}, "rlhf:policy": {"slug": make_policy("first").slug},
        "rlhf:reward-model": {"slug": make_reward_model("head").slug}, "rlhf:run": {"pk": make_run().pk},
        "rlhf:lineage": {"type": "policy", "id": "first"},
        "rlhf:dataset": {"pk": make_dataset(status="queued", digest="").pk},
        "rlhf:decision": {"pk": make_decision().pk},
        "rlhf:alarm-close": {"slug": "loop", "pk": "00000000-0000-0000-0000-000000000000"},
    }  # fmt: skip
    return {"people": people, "values": values, "lease": lease}


def uploaded(queue: Queue, user: User) -> ImportBatch:
    import io

    return uploads.receive(queue=queue, file=io.BytesIO(b'{"prompt": "Why?"}\n'), name="a.jsonl", actor=user)


DEFAULTS: dict[str, Any] = {
    "slug": "which", "username": "stranger", "token": "made-up", "word": "made-up", "alias": "production",
    "name": "train.parquet", "key": "0" * 64, "pk": "00000000-0000-0000-0000-000000000000",
}  # fmt: skip


def address(name: str, place: dict[str, Any]) -> str:
    known = place["values"]
    mine = known.get(name) or next(
        (v for k, v in known.items() if name.startswith(k) and name[len(k) :][:1] == "-"), {}
    )
    return reverse(name, kwargs={n: mine.get(n, DEFAULTS.get(n, "which")) for n in ROUTES[name]})


def outcome(response: HttpResponse) -> Any:
    if response.status_code in (403, 404):
        return response.status_code
    to_sign_in = response.status_code == 302 and response["Location"].startswith("/accounts/login/")
    return "in" if to_sign_in else "ok"


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_each_role_gets_what_its_row_says(name: str, place: dict[str, Any]) -> None:
    assert name in MATRIX, "a new route needs a row in the matrix"
    url = address(name, place)
    for method, row in MATRIX[name].items():
        for who, expected in zip(WHO, row, strict=True):
            client = Client()
            if who in place["people"]:
                client.force_login(place["people"][who])
            with transaction.atomic():  # each role finds the workspace as it was
                body = {"assignment": str(place["lease"].pk), "choice": "A"} if method == "post" else {}
                response = getattr(client, method)(url, body)
                transaction.set_rollback(True)
            if name == "feedback:sign-out":
                assert response.status_code == 302
                continue
            assert outcome(response) == expected, f"{method} {who}: {response.status_code} {response.content[:300]!r}"
            assert response.status_code < 500 or name == "readyz"  # no broker in tests


def test_the_matrix_has_no_row_without_a_route() -> None:
    assert set(MATRIX) == set(ROUTES)


def test_a_manager_of_one_queue_cannot_see_anothers(place: dict[str, Any]) -> None:
    other = make_queue("other")
    client = Client()
    client.force_login(place["people"]["manager"])
    for name in (n for n in MATRIX if n.startswith("feedback:console-") and "slug" in ROUTES[n]):
        values = {n: DEFAULTS.get(n) for n in ROUTES[name]} | {"slug": other.slug}
        values |= {"key": make_item(other).key} if "key" in ROUTES[name] else {}
        for method in MATRIX[name]:
            response = getattr(client, method)(
                reverse(name, kwargs={**values, **({"pk": 1} if "pk" in values else {})})
            )
            assert response.status_code in (403, 404), f"{method} {name}"
    assert b"Other" not in client.get(reverse("feedback:console")).content
