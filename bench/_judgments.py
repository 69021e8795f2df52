"""A database full of generated judgments: imported pairs of made-up text, votes by two hundred people."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from feedback import bulk, intake
from feedback.clean_text import content_key
from feedback.models import Item, ItemResponse, Judgment, Policy, Prompt, Queue, Response
from feedback.pairing import ITEM_SPACE

WORDS = (
    "the a of to and in that it is was for on are as with they be at one have this from or had by hot word but what "
    "some we can out other were all there when up use your how said an each she which do their time if will way about "
    "many then them write would like so these her long make thing see him two has look more day could go come did "
    "number sound no most people my over know water than call first who may down side been now find head stand own "
    "page should country found answer school grow study still learn plant cover food sun four between state keep eye"
).split()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 20_000


def fill(judgments: int, seed: int = 0) -> dict[str, int]:
    """Prompts with four answers of about 60 words each; 85% of the pairs have one vote, the others three."""
    rng = random.Random(seed)
    policy = Policy.objects.create(slug="bench", kind="external")
    queue = Queue.objects.create(slug="bench", title="Bench", status="closed")
    counts = {"prompts": 0, "responses": 0, "items": 0, "judgments": 0}
    while counts["judgments"] < judgments:
        with transaction.atomic():
            _chunk(rng, policy, queue, counts, judgments)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for model in (Prompt, Response, Item, ItemResponse, Judgment):
                table = model._meta.db_table
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1 + max(id)) FROM {table}") if (
                    model is not Judgment
                ) else None
        cursor.execute("ANALYZE")
    return counts


def _chunk(rng: random.Random, policy: Policy, queue: Queue, counts: dict[str, int], wanted: int) -> None:
    prompts, responses, items, links, votes = [], [], [], [], []
    while len(votes) < min(CHUNK, wanted - counts["judgments"]):
        counts["prompts"] += 1
        number = counts["prompts"]
        messages = [{"role": "user", "content": f"{number} {_text(rng, 20)}?"}]
        key, group = content_key(messages), intake.group_of(messages)
        split = intake.split_of(group)
        prompts.append((number, key, _json(messages), group, "train" if split == "gate" else split, group))
        keys = []
        for draw in range(4):
            counts["responses"] += 1
            text = _text(rng, rng.randint(30, 90)) + "."
            keys.append((counts["responses"], content_key(key, policy.slug, draw, text)))
            responses.append((keys[-1][0], keys[-1][1], number, policy.pk, draw, text))
        for a, b in ((0, 1), (2, 3), (0, 2)):
            counts["items"] += 1
            name = uuid.uuid5(ITEM_SPACE, "|".join([queue.slug, key, *sorted((keys[a][1], keys[b][1]))]))
            items.append((counts["items"], name, queue.pk, number, counts["items"]))
            links += [(counts["items"], keys[a][0], 0), (counts["items"], keys[b][0], 1)]
            for _ in range(1 if rng.random() < 0.85 else 3):
                choice: Any = rng.choices([0, 1, "tie", "both_bad"], [48, 42, 7, 3])[0]
                who = f"person{rng.randrange(200)}"
                votes.append((uuid.UUID(int=rng.getrandbits(128), version=4), counts["items"], who, choice))
    votes = votes[: wanted - counts["judgments"]]
    counts["judgments"] += len(votes)
    _write(policy, queue, prompts, responses, items, links, votes)


def _write(policy, queue, prompts, responses, items, links, votes) -> None:  # type: ignore[no-untyped-def]
    now = NOW if connection.vendor == "postgresql" else str(NOW.replace(tzinfo=None))
    plain = connection.vendor == "sqlite"
    empty = _json({})
    bulk.insert(
        Prompt,
        ("id", "key", "messages", "group", "split", "external_id", "metadata", "quarantined", "gate_uses",
         "created_at", *_cluster()),
        ((n, k, m, g, s, "", empty, False, 0, now, *([c] if _cluster() else [])) for n, k, m, g, s, c in prompts),
    )  # fmt: skip
    bulk.insert(
        Response,
        ("id", "key", "prompt_id", "policy_id", "draw", "content", "finish_reason", "created_at"),
        ((*row, "stop", now) for row in responses),
    )
    bulk.insert(
        Item,
        ("id", "key", "queue_id", "prompt_id", "arm", "priority", "position", "status", "settled_at", "created_at",
         *_defaults(Item)),
        ((n, k.hex if plain else k, q, p, "import", 0, pos, "settled", now, now, *_defaults(Item).values())
         for n, k, q, p, pos in items),
    )  # fmt: skip
    bulk.insert(ItemResponse, ("item_id", "response_id", "position"), links)
    bulk.insert(
        Judgment,
        ("id", "item_id", "queue_id", "annotator", "author_kind", "answer", "rationale", "flags", "evidence",
         "guidelines_version", "withdrawn_reason", "body_hash", "created_at", *_defaults(Judgment)),
        ((pk.hex if plain else pk, item, queue.pk, who, "human", _json({"choice": choice}), "", _json([]), empty, 1,
          "", "", now, *_defaults(Judgment).values()) for pk, item, who, choice in votes),
    )  # fmt: skip


def _cluster() -> list[str]:
    return ["cluster"] if any(f.name == "cluster" for f in Prompt._meta.get_fields()) else []


def _defaults(model: Any) -> dict[str, Any]:
    """Columns that other work has added since, with their defaults."""
    known = {
        "id", "key", "queue", "prompt", "arm", "priority", "position", "status", "settled_at", "created_at", "item",
        "annotator", "author_kind", "answer", "rationale", "flags", "evidence", "guidelines_version", "gold", "batch",
        "withdrawn_reason", "withdrawn_at", "body_hash", "assignment", "author", "strength", "duration_ms",
        "supersedes", "idempotency_key", "gathered_at",
    }  # fmt: skip
    extra = [f for f in model._meta.concrete_fields if f.name not in known and not f.null]
    return {f.column: f.get_db_prep_save(f.get_default(), connection) for f in extra}


def _json(value: Any) -> Any:
    import json

    return Jsonb(value) if connection.vendor == "postgresql" else json.dumps(value)


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def rows(model: Any) -> Iterator[Any]:
    return model.objects.order_by("pk").iterator(chunk_size=2000)
