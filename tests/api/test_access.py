"""Who may call what: every route of the API, every method, every role. A route without a row here fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from api import urls, webhooks
from api.models import Delivery
from feedback import assigning, events, judging
from feedback.models import User
from tests.api.conftest import Caller
from tests.factories import make_interaction, make_item, make_member, make_policy, make_queue, make_user
from tests.factories_rlhf import make_dataset, make_decision, make_loop, make_reward_model, make_run

# Columns: what the caller gets. "ok" is anything but 401, 403 and 404: the body is often not a good one.
#   stranger: annotator, in no queue      member, reviewer, manager: of the queue in question
WHO = ("nobody", "stranger", "member", "reviewer", "manager", "engineer", "admin")
ENGINEERS = (401, 403, 403, 403, 403, "ok", "ok")
ADMINS = (401, 403, 403, 403, 403, 403, "ok")
ANYBODY = (401, "ok", "ok", "ok", "ok", "ok", "ok")
READS_QUEUE = (401, 404, "ok", "ok", "ok", "ok", "ok")
MANAGES_QUEUE = (401, 404, 403, 403, "ok", 403, "ok")
FIGURES = (401, 404, 403, 403, "ok", "ok", "ok")
WORKS_IN_QUEUE = (401, 404, "ok", "ok", "ok", 404, 404)
OWN = (401, 404, "ok", 404, 404, 404, 404)  # the member's own assignment or judgment
OWN_HOOK = (401, 403, 403, 403, 403, "ok", "ok")  # the engineer's own webhook; an admin sees everybody's

MATRIX: dict[tuple[str, str], tuple[Any, ...]] = {
    ("prompts", "post"): ENGINEERS,
    ("responses", "post"): ENGINEERS,
    ("policies", "get"): ENGINEERS,
    ("policies", "post"): ENGINEERS,
    ("promote", "post"): ENGINEERS,
    ("queues", "get"): ANYBODY,
    ("queues", "post"): ADMINS,
    ("queue", "get"): READS_QUEUE,
    ("queue", "patch"): MANAGES_QUEUE,
    ("members", "post"): MANAGES_QUEUE,
    ("member", "patch"): MANAGES_QUEUE,
    ("guidelines", "get"): READS_QUEUE,
    ("costs", "get"): MANAGES_QUEUE,
    ("review-next", "get"): (401, 404, 403, "ok", "ok", 403, "ok"),
    ("review", "post"): (401, 404, 404, "ok", "ok", 404, "ok"),
    ("events", "get"): ADMINS,
    ("items", "post"): MANAGES_QUEUE,
    ("stats", "get"): FIGURES,
    ("claim", "post"): WORKS_IN_QUEUE,
    ("judge", "post"): OWN,
    ("skip", "post"): OWN,
    ("heartbeat", "post"): OWN,
    ("undo", "post"): OWN,
    ("datasets", "get"): ENGINEERS,
    ("datasets", "post"): ENGINEERS,
    ("dataset", "get"): ENGINEERS,
    ("dataset-file", "get"): ENGINEERS,
    ("dataset-export", "get"): ENGINEERS,
    ("lineage", "get"): ENGINEERS,
    ("runs", "get"): ENGINEERS,
    ("runs", "post"): ENGINEERS,
    ("run-plan", "post"): ENGINEERS,
    ("run", "get"): ENGINEERS,
    ("run-metrics", "get"): ENGINEERS,
    ("run-log", "get"): ENGINEERS,
    ("run-reproduce", "get"): ENGINEERS,
    ("run-pull", "post"): ENGINEERS,
    ("run-input", "get"): ENGINEERS,
    ("run-output", "put"): ENGINEERS,
    ("run-report", "post"): ENGINEERS,
    ("run-conclude", "post"): ENGINEERS,
    ("run-cancel", "post"): ENGINEERS,
    ("run-resume", "post"): ENGINEERS,
    ("evaluations", "get"): ENGINEERS,
    ("evaluations", "post"): ENGINEERS,
    ("reward-models", "get"): ENGINEERS,
    ("score", "post"): ENGINEERS,
    ("rollback", "post"): (401, 403, 403, 403, 403, 404, 404),  # there is no deployment in this workspace
    ("canary", "post"): (401, 403, 403, 403, 403, 404, 404),  # nor is there one here
    ("leaderboard", "get"): ENGINEERS,
    ("worth", "get"): ENGINEERS,
    ("decisions", "get"): ENGINEERS,
    ("decisions", "post"): ENGINEERS,
    ("decision", "get"): ENGINEERS,
    ("decision-override", "post"): ENGINEERS,
    ("decision-abandon", "post"): ENGINEERS,
    ("loops", "get"): ENGINEERS,
    ("loops", "post"): ENGINEERS,
    ("loop", "get"): ENGINEERS,
    ("tick", "post"): ENGINEERS,
    ("interactions", "get"): ENGINEERS,
    ("interactions", "post"): ENGINEERS,
    ("interactions", "delete"): ENGINEERS,
    ("interaction-feedback", "post"): ENGINEERS,
    ("webhooks", "get"): ENGINEERS,
    ("webhooks", "post"): ENGINEERS,
    ("webhook", "delete"): OWN_HOOK,
    ("deliveries", "get"): OWN_HOOK,
    ("delivery-retry", "post"): OWN_HOOK,
}


def routes() -> Iterator[tuple[str, str]]:
    for pattern in urls.v1:
        view = pattern.callback.view_class  # type: ignore[union-attr]
        for method in ("get", "post", "patch", "put", "delete"):
            if hasattr(view, method):
                yield str(pattern.name), method


@pytest.fixture
def place(db: None) -> dict[str, Any]:
    """A workspace with one of everything, and the ids that fill in the addresses."""
    people = {
        "stranger": make_user("stranger"), "member": make_user("member"), "manager": make_user("manager"),
        "reviewer": make_user("reviewer", role="reviewer"), "engineer": make_user("engineer", role="engineer"),
        "admin": make_user("admin", role="admin"),
    }  # fmt: skip
    queue = make_queue("which", members=(people["member"],))
    make_member(queue, people["reviewer"], role="reviewer")
    make_member(queue, people["manager"], role="manager")
    for _ in range(8):
        make_item(queue)
    judgment = judged(queue, people["member"])
    lease = assigning.claim(queue=queue, annotator=people["member"])
    assert lease is not None
    dataset, run = make_dataset(status="queued", digest=""), make_run()
    hook = webhooks.create(owner=people["engineer"], url="https://93.184.216.34/", wanted=["run.finished"])
    delivery = Delivery.objects.create(
        webhook=hook, event=events.record("run.finished", run), status="failed", not_before=timezone.now()
    )
    addresses = {
        "": "which", "judge": lease.pk, "skip": lease.pk, "heartbeat": lease.pk, "undo": judgment.pk,
        "review": judgment.pk,
        "promote": make_policy("first").slug, "rollback": "production", "canary": "production",
        "loop": make_loop("loop").slug, "tick": "loop", "worth": "loop",
        "dataset": dataset.pk, "dataset-file": dataset.pk,
        "dataset-export": dataset.pk,
        "webhook": hook.pk, "deliveries": hook.pk, "delivery-retry": delivery.pk,
        "interaction-feedback": make_interaction().pk, "score": make_reward_model().slug,
    }  # fmt: skip
    addresses |= {f"decision{name}": make_decision().pk for name in ("", "-override", "-abandon")}
    of_run = ("", "-metrics", "-log", "-reproduce", "-cancel", "-resume", "-input", "-output", "-report", "-conclude")
    addresses |= {f"run{name}": run.pk for name in of_run}
    return {"people": people, "addresses": addresses}


def judged(queue: Any, user: User) -> Any:
    lease = assigning.claim(queue=queue, annotator=user)
    assert lease is not None
    return judging.judge(assignment_id=lease.pk, annotator=user, body={"choice": "tie"}).judgment


def address(name: str, place: dict[str, Any]) -> str:
    from django.urls import reverse

    pattern = next(p for p in urls.v1 if p.name == name)
    arguments = pattern.pattern.converters
    values = {a: place["addresses"].get(name, place["addresses"][""]) for a in arguments}
    if name in ("dataset-file", "run-input", "run-output"):
        values["name"] = "train.parquet"
    if name == "lineage":
        values = {"type": "policy", "id": "first"}
    if name == "member":
        values["username"] = "member"
    return reverse(f"api:{name}", kwargs=values)


BODIES: dict[str, Any] = {"judge": {"choice": "A"}, "prompts": [], "responses": [], "items": [], "members": {}}


@pytest.mark.parametrize(("name", "method"), list(routes()))
def test_each_role_gets_what_its_row_says(name: str, method: str, place: dict[str, Any]) -> None:
    assert (name, method) in MATRIX, "a new route needs a row in the matrix"
    url = address(name, place)
    for who, expected in zip(WHO, MATRIX[name, method], strict=True):
        caller = Caller(place["people"].get(who))
        with transaction.atomic():  # each role finds the workspace as it was
            response = caller.call(method.upper(), url, BODIES.get(name, {}) if method != "get" else None)
            transaction.set_rollback(True)
        got = response.status_code if response.status_code in (401, 403, 404) else "ok"
        assert got == expected, f"{who}: {response.status_code} {response.content[:300]!r}"
        assert response.status_code < 500


def test_the_matrix_has_no_row_without_a_route() -> None:
    assert set(MATRIX) == set(routes())


def test_an_engineer_sees_no_persons_figures(place: dict[str, Any]) -> None:
    def stats(who: str) -> dict[str, Any]:
        return Caller(place["people"][who]).get("/queues/which/stats/")[1]

    assert "annotators" not in stats("engineer")
    assert [row["username"] for row in stats("manager")["annotators"]] == ["member"]
    assert "annotators" in stats("admin")


def test_a_list_of_queues_shows_ones_own(place: dict[str, Any]) -> None:
    make_queue("other")
    seen = {who: Caller(place["people"][who]).get("/queues/")[1]["results"] for who in ("member", "engineer")}
    assert [q["slug"] for q in seen["member"]] == ["which"]
    assert {q["slug"] for q in seen["engineer"]} >= {"which", "other"}
