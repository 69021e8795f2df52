"""Answers of production come in whole or not at all; text is kept only with consent, and goes when asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback import interactions
from feedback.errors import BadInput, NotFound
from feedback.models import Interaction, Reaction
from tests.factories import make_interaction, make_policy

pytestmark = pytest.mark.django_db
ASKED = [{"role": "user", "content": "How tall is it?"}]


def row(**fields: Any) -> dict[str, Any]:
    return {"messages": ASKED, "content": "Eight metres.", **fields}


def test_an_answer_is_kept_with_what_was_measured() -> None:
    policy = make_policy("concise")
    interactions.log(rows=[row(policy="concise", latency_ms=40, tokens=3, tags=["geo"], scores={"judge": 0.5})])
    kept = Interaction.objects.get()
    assert (kept.policy, kept.model, kept.consent, kept.characters) == (policy, "concise", "monitor", 13)
    assert (kept.latency_ms, kept.tokens, kept.tags, kept.scores) == (40, 3, ["geo"], {"judge": 0.5})


def test_a_model_that_we_do_not_know_is_kept_by_its_name() -> None:
    assert interactions.log(rows=[row(model="elsewhere-70b")])[0].policy is None
    assert Interaction.objects.get().model == "elsewhere-70b"


def test_without_consent_only_the_measures_are_kept() -> None:
    interactions.log(rows=[row(consent="none", user_id="u1", latency_ms=7)])
    kept = Interaction.objects.get()
    assert (kept.messages, kept.content, kept.user_id) == ([], "", "")
    assert (kept.characters, kept.latency_ms) == (13, 7)


def test_the_database_refuses_text_without_consent() -> None:
    kept = make_interaction()
    with pytest.raises(IntegrityError), transaction.atomic():
        Interaction.objects.filter(pk=kept.pk).update(consent="none")


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ({"messages": []}, "[1].messages"),
        ({"content": None}, "[1].content"),
        ({"content": 3}, "[1].content"),
        ({"consent": "sell"}, "[1].consent"),
        ({"tags": "geo"}, "[1].tags"),
        ({"scores": {"x": "high"}}, "[1].scores"),
        ({"latency_ms": -1}, "[1].latency_ms"),
        ({"tokens": True}, "[1].tokens"),
        ({"user_id": 5}, "[1].user_id"),
        ({"policy": {}}, "[1].policy"),
        ({"model": []}, "[1].model"),
    ],
)
def test_one_bad_row_is_named_and_none_is_stored(bad: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as refused:
        interactions.log(rows=[row(), row(**bad)])
    assert refused.value.details["where"] == where
    assert not Interaction.objects.exists()


def test_an_unknown_policy_is_named_by_its_index() -> None:
    with pytest.raises(NotFound) as refused:
        interactions.log(rows=[row(), row(policy="gpt-99")])
    assert refused.value.details["where"] == "[1].policy"


def test_the_last_thumb_counts_and_all_reactions_are_kept() -> None:
    kept = make_interaction()
    interactions.react(interaction_id=kept.pk, thumb="up")
    interactions.react(interaction_id=kept.pk, thumb="down", correction="Nine metres.")
    interactions.react(interaction_id=kept.pk, comment="Still wrong.")
    assert Interaction.objects.get().thumb == "down"
    assert list(Reaction.objects.values_list("thumb", flat=True)) == ["up", "down", ""]


def test_an_empty_reaction_is_refused() -> None:
    kept = make_interaction()
    with pytest.raises(BadInput, match="Say something"):
        interactions.react(interaction_id=kept.pk, comment="   ")


def test_without_consent_a_reader_may_leave_a_thumb_and_no_text() -> None:
    kept = make_interaction(consent="none")
    with pytest.raises(BadInput, match="without consent"):
        interactions.react(interaction_id=kept.pk, thumb="up", comment="My address is ...")
    interactions.react(interaction_id=kept.pk, thumb="up")
    assert Reaction.objects.get().comment == ""


def test_a_link_opens_its_own_answer_and_no_other(settings: Any) -> None:
    kept = make_interaction()
    token = interactions.link_token(kept)
    assert interactions.open_link(token) == kept
    with pytest.raises(NotFound):
        interactions.open_link(token[:-2] + "xx")


def test_an_end_user_is_forgotten_with_all_reactions() -> None:
    mine, other = make_interaction(user_id="u1"), make_interaction(user_id="u2")
    interactions.react(interaction_id=mine.pk, comment="hello")
    assert interactions.forget_user(user_id="u1") == 1
    assert list(Interaction.objects.all()) == [other]
    assert not Reaction.objects.exists()


def test_forgetting_nobody_in_particular_is_refused() -> None:
    make_interaction()
    with pytest.raises(BadInput):
        interactions.forget_user(user_id="")
    assert Interaction.objects.exists()


def test_what_is_older_than_the_retention_period_goes(settings: Any) -> None:
    old, new = make_interaction(), make_interaction()
    Interaction.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    assert interactions.drop_expired() == 0  # nothing is dropped unless a period is set
    settings.PLUMBLINE_RETENTION_DAYS = 30
    assert interactions.drop_expired() == 1
    assert list(Interaction.objects.all()) == [new]
