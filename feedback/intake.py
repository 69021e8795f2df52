"""Prompts, policies and responses coming in. Same content twice is the same row."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from . import clean_text, events
from .errors import BadInput, Conflict, NotFound
from .models import SPLITS, Policy, Prompt, Response, User

BATCH = 1000
HUMAN = "human"
SPLIT_SALT = "plumbline-split-1"  # constant for ever: a prompt group never changes its split


@dataclass
class Intake:
    """What came of a bulk call: public ids in the order given, and how many rows were new."""

    ids: list[str] = field(default_factory=list)
    created: int = 0

    @property
    def existing(self) -> int:
        return len(self.ids) - self.created


def normalised_first_turn(messages: list[dict[str, str]]) -> str:
    """The first user turn, case-folded, without punctuation and extra space: what ties near-duplicates."""
    first = next(m["content"] for m in messages if m["role"] == "user")
    folded = unicodedata.normalize("NFKC", first).casefold()
    return re.sub(r"\W+", " ", folded).strip() or folded


def group_of(messages: list[dict[str, str]]) -> str:
    return hashlib.sha256(normalised_first_turn(messages).encode()).hexdigest()


def split_of(group: str) -> str:
    """train, dev or gate by a hash of a constant salt and the group; the shares are settings."""
    share = int.from_bytes(hashlib.sha256(f"{SPLIT_SALT}:{group}".encode()).digest()[:8], "big") / 2**64
    dev, gate = settings.PLUMBLINE_DEV_SHARE, settings.PLUMBLINE_GATE_SHARE
    return "gate" if share < gate else "dev" if share < gate + dev else "train"


def add_prompts(*, rows: list[dict[str, Any]], actor: User | None = None) -> Intake:
    """Store prompts: {"messages", "external_id"?, "group"?, "split"?, "metadata"?}.

    A group already known keeps its split whatever the row says (splits never change); a row that asks
    for another one is refused. Raises BadInput naming the index.
    """
    parsed = [parse_prompt(row, f"[{i}]") for i, row in enumerate(rows)]
    with transaction.atomic():
        known = set(Prompt.objects.filter(key__in=[p.key for p in parsed]).values_list("key", flat=True))
        settle_splits(parsed)
        fresh = {p.key: p for p in parsed if p.key not in known}
        Prompt.objects.bulk_create(fresh.values(), batch_size=BATCH, ignore_conflicts=True)
    return Intake(ids=[p.key for p in parsed], created=len(fresh))


def parse_prompt(row: Any, where: str) -> Prompt:
    """The prompt that a row describes, not stored, its split as asked ("" for none). Raises BadInput."""
    if not isinstance(row, dict):
        raise BadInput(f"{where}: expected an object with messages.", where=where)
    row = _clean(row, where)
    messages = _messages(row.get("messages"), f"{where}.messages")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise BadInput(f"{where}.split: {split!r} is none of {', '.join(SPLITS)}.", where=f"{where}.split")
    metadata = {} if row.get("metadata") is None else row["metadata"]
    if not isinstance(metadata, dict):
        raise BadInput(f"{where}.metadata: expected an object.", where=f"{where}.metadata")
    given = row.get("group")
    if given is not None and not isinstance(given, str):
        raise BadInput(f"{where}.group: expected a string.", where=f"{where}.group")
    group = hashlib.sha256(f"given:{given}".encode()).hexdigest() if given else group_of(messages)
    return Prompt(
        key=clean_text.content_key(messages),
        messages=messages,
        group=group,
        split=split or "",
        external_id=str(row.get("external_id") or "")[:200],
        metadata=metadata,
    )


def settle_splits(parsed: list[Prompt]) -> None:
    """Give every prompt the split of its group: as known, else as the first row of the group asks, else by hash.

    Reads only. Raises Conflict naming the index where a row asks for another split than its group has.
    """
    groups = sorted({p.group for p in parsed})
    settled: dict[str, str] = {}
    for start in range(0, len(groups), BATCH):
        known = Prompt.objects.filter(group__in=groups[start : start + BATCH])
        settled.update(known.values_list("group", "split").distinct())
    for i, prompt in enumerate(parsed):
        asked = prompt.split
        prompt.split = settled.setdefault(prompt.group, asked or split_of(prompt.group))
        if asked and asked != prompt.split:
            raise Conflict(
                f"[{i}].split: this prompt's group is {prompt.split} for ever and cannot become {asked}.",
                where=f"[{i}].split",
            )


def _clean(value: Any, where: str) -> Any:
    try:
        return clean_text.clean(value, where)
    except clean_text.BadText as bad:
        raise BadInput(f"{bad.path}: {bad.reason}", where=bad.path) from bad


def _messages(value: Any, where: str) -> list[dict[str, str]]:
    try:
        return clean_text.check_messages(value, where)
    except clean_text.BadText as bad:
        raise BadInput(f"{bad.path}: {bad.reason}", where=bad.path) from bad


def add_policy(
    *,
    slug: str,
    kind: str,
    base: str = "",
    adapter: str = "",
    head: str = "",
    system_prompt: str = "",
    decoding: dict[str, Any] | None = None,
    parent: Policy | None = None,
    note: str = "",
    actor: User | None = None,
) -> tuple[Policy, bool]:
    """The policy of this slug, and whether it is new. Same slug with other content is a Conflict."""
    if kind not in Policy.KINDS:
        raise BadInput(f"kind: {kind!r} is none of {', '.join(Policy.KINDS)}.", where="kind")
    if kind == "local" and not base:
        raise BadInput("base: a local policy names the model it stands on.", where="base")
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,80}", slug):
        raise BadInput("slug: letters, digits, - and _ only, 80 at most.", where="slug")
    body = dict(
        kind=kind, base=base, adapter=adapter, head=head, system_prompt=_clean(system_prompt, "system_prompt"),
        decoding=_clean(decoding or {}, "decoding"),
    )  # fmt: skip
    with transaction.atomic():
        policy, created = Policy.objects.get_or_create(slug=slug, defaults={**body, "parent": parent, "note": note})
        if created:
            events.record("policy.created", policy, actor=actor, after=body)
    if not created and any(getattr(policy, name) != value for name, value in body.items()):
        raise Conflict(f"A policy named {slug} exists and differs; policies are immutable, choose another slug.")
    return policy, created


def add_responses(*, rows: list[dict[str, Any]], actor: User | None = None, allow_empty: bool = False) -> Intake:
    """Store responses: {"prompt": id, "policy": slug, "content", "draw"?, "finish_reason"?, token counts?}.

    `allow_empty` is for our own generation: a model that says nothing has answered, badly.
    """
    prompts = _lookup(Prompt, "key", [r.get("prompt") for r in rows if isinstance(r, dict)])
    policies = _lookup(Policy, "slug", [r.get("policy") for r in rows if isinstance(r, dict)])
    parsed = [_parse_response(row, f"[{i}]", prompts, policies, allow_empty) for i, row in enumerate(rows)]
    with transaction.atomic():
        known = set(Response.objects.filter(key__in=[r.key for r in parsed]).values_list("key", flat=True))
        fresh = {r.key: r for r in parsed if r.key not in known}
        Response.objects.bulk_create(fresh.values(), batch_size=BATCH, ignore_conflicts=True)
    return Intake(ids=[r.key for r in parsed], created=len(fresh))


def written(*, prompt: Prompt, content: str, author: User) -> Response:
    """The answer that a person wrote, as a response of the one policy `human`; who wrote it is never shown."""
    policy, _ = add_policy(slug=HUMAN, kind="external", note="Answers that people wrote or edited.")
    key = clean_text.content_key(prompt.key, HUMAN, 0, content)
    fields = {"prompt": prompt, "policy": policy, "content": content, "author": author}
    return Response.objects.get_or_create(key=key, defaults=fields)[0]


def _lookup(model: Any, column: str, values: Iterable[Any]) -> dict[str, Any]:
    wanted = {v for v in values if isinstance(v, str)}
    return {getattr(row, column): row for row in model.objects.filter(**{f"{column}__in": wanted})}


def _parse_response(
    row: Any, where: str, prompts: dict[str, Prompt], policies: dict[str, Policy], allow_empty: bool
) -> Response:
    if not isinstance(row, dict):
        raise BadInput(f"{where}: expected an object with prompt, policy and content.", where=where)
    row = _clean(row, where)
    content = row.get("content")
    if not isinstance(content, str) or not (content.strip() or allow_empty):
        raise BadInput(f"{where}.content: expected text that is not empty.", where=f"{where}.content")
    draw = _count(row, "draw", where) or 0
    prompt = _known(prompts, row.get("prompt"), f"{where}.prompt", "prompt")
    policy = _known(policies, row.get("policy"), f"{where}.policy", "policy")
    return Response(
        key=clean_text.content_key(prompt.key, policy.slug, draw, content),
        prompt=prompt,
        policy=policy,
        draw=draw,
        content=content,
        finish_reason=str(row.get("finish_reason") or "")[:16],
        prompt_tokens=_count(row, "prompt_tokens", where),
        completion_tokens=_count(row, "completion_tokens", where),
    )


def _count(row: dict[str, Any], name: str, where: str) -> int | None:
    value = row.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31):
        raise BadInput(f"{where}.{name}: expected a whole number from 0.", where=f"{where}.{name}")
    return value


def _known(rows: dict[str, Any], name: Any, where: str, noun: str) -> Any:
    if not isinstance(name, str) or name not in rows:
        raise NotFound(f"{where}: there is no {noun} {name!r}.", where=where)
    return rows[name]
