"""A large queue in seconds: one item made and one judged by the verbs, then copied by the database itself.

    python -m bench._seed SLUG ITEMS DONE NAME...     the first DONE items were judged by the first NAME

Every column is copied from the row that the verbs wrote, except those named here; so the rows are such as the
verbs would have written, whatever columns there are.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any


def main(slug: str, items: int, done: int, names: list[str]) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.db import transaction

    from feedback import aggregation

    with transaction.atomic():
        model_item, model_judgment = templates(slug, names)
        copy_items(slug, model_item, items - 2, done - 1, model_judgment)
    aggregation.gather()
    analyse()


def templates(slug: str, names: list[str]) -> tuple[Any, Any]:
    """A queue with one open item, and one judged by names[0]."""
    from feedback import assigning, intake, judging, pairing, queues
    from feedback.models import Prompt, Response, User

    queue, _ = queues.create(slug=slug, title=slug, status="open")
    people = [User.objects.get(username=name) for name in names]
    for person in people:
        queues.admit(queue=queue, user=person)
    intake.add_policy(slug="seed", kind="external")
    rows = [{"messages": [{"role": "user", "content": f"{slug}: what about {n}?"}], "split": "train"} for n in (0, 1)]
    prompts = [Prompt.objects.get(key=key) for key in intake.add_prompts(rows=rows).ids]
    drafts = []
    for prompt in prompts:
        texts = [f"Answer {draw}. " + "word " * 60 for draw in (0, 1)]
        answers = intake.add_responses(
            rows=[{"prompt": prompt.key, "policy": "seed", "draw": n, "content": text} for n, text in enumerate(texts)]
        )
        drafts.append(pairing.Draft(prompt, [Response.objects.get(key=key) for key in answers.ids]))
    made, _ = pairing.add_items(queue=queue, drafts=drafts)
    lease = assigning.claim(queue=queue, annotator=people[0])
    assert lease is not None
    judgment = judging.judge(assignment_id=lease.pk, annotator=people[0], body={"choice": "A"}).judgment
    return made[1], judgment


def copy_items(slug: str, item: Any, count: int, done: int, judgment: Any) -> None:
    """`count` copies of `item`, of which the first `done` have a copy of `judgment` and are settled."""
    from feedback.models import Assignment, Item, ItemResponse, Judgment, Prompt, Response, Seat

    salt = uuid.uuid4().hex[:12]
    first = {m: (m.objects.order_by("-pk").first().pk) for m in (Prompt, Response, Item, ItemResponse, Seat)}
    a, b = item.ordered_responses()
    is_done = f"n <= {done}"
    at = {m: f"{first[m]} + n" for m in (Prompt, Item, Seat)}
    second = f"{first[Response] + count} + n"
    copy(
        Prompt,
        item.prompt_id,
        count,
        {
            "id": at[Prompt],
            "key": text_key(salt, 1),
            "group": text_key(salt, 2),
            "messages": as_json(f"""'[{{"role": "user", "content": "{slug}: what about ' || n || '?"}}]'"""),
        },
    )
    for response, key, pk in ((a, 3, f"{first[Response]} + n"), (b, 4, second)):
        copy(
            Response,
            response.pk,
            count,
            {
                "id": pk,
                "key": text_key(salt, key),
                "prompt_id": at[Prompt],
                "content": "'Number ' || n || '. ' || t.content",
            },
        )
    copy(
        Item,
        item.pk,
        count,
        {
            "id": at[Item],
            "key": uuid_key(salt, 1),
            "prompt_id": at[Prompt],
            "position": "t.position + n",
            "status": f"CASE WHEN {is_done} THEN 'settled' ELSE 'open' END",
        },
    )
    for position, pk in ((0, f"{first[Response]} + n"), (1, second)):
        link = ItemResponse.objects.get(item=item, position=position).pk
        copy(
            ItemResponse,
            link,
            count,
            {"id": f"{first[ItemResponse] + position * count} + n", "item_id": at[Item], "response_id": pk},
        )
    copy(
        Seat,
        item.seats.get().pk,
        count,
        {
            "id": at[Seat],
            "item_id": at[Item],
            "position": "t.position + n",
            "status": f"CASE WHEN {is_done} THEN 'judged' ELSE 'free' END",
        },
    )
    copy(Assignment, judgment.assignment_id, done, {"id": uuid_key(salt, 2), "seat_id": at[Seat], "item_id": at[Item]})
    copy(Judgment, judgment.pk, done, {"id": uuid_key(salt, 3), "assignment_id": uuid_key(salt, 2),
         "item_id": at[Item]})  # fmt: skip
    restart_numbers((Prompt, Response, Item, ItemResponse, Seat))


def copy(model: Any, pk: Any, count: int, changes: dict[str, str]) -> None:
    """`count` copies of one row, n = 1..count, with some columns worked out from n."""
    from django.db import connection

    columns = [f.column for f in model._meta.concrete_fields]
    values = [changes.get(c, f't."{c}"') for c in columns]
    table, names = model._meta.db_table, ", ".join(f'"{c}"' for c in columns)
    if connection.vendor == "sqlite":
        numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
    else:
        numbers = f"WITH numbers(n) AS (SELECT generate_series(1, {count})) "
    if count < 1:
        return
    sql = f'{numbers}SELECT {", ".join(values)} FROM numbers, "{table}" t WHERE t.id = %s'
    insert = f'INSERT INTO "{table}" ({names}) {sql}'
    with connection.cursor() as cursor:
        cursor.execute(insert.replace("%s", "\0").replace("%", "%%").replace("\0", "%s"),
                       [model._meta.pk.get_db_prep_save(pk, connection)])  # fmt: skip


def text_key(salt: str, which: int) -> str:
    """SQL of a key of 64 hex digits."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"printf('{salt}{which}%051x', n)"
    return f"'{salt}{which}' || lpad(to_hex(n), 51, '0')"


def uuid_key(salt: str, which: int) -> str:
    """SQL of a key of 32 hex digits, as a UUID."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"printf('{salt}{which}%019x', n)"
    return f"CAST('{salt}{which}' || lpad(to_hex(n), 19, '0') AS uuid)"


def as_json(sql: str) -> str:
    from django.db import connection

    return sql if connection.vendor == "sqlite" else f"CAST({sql} AS jsonb)"


def restart_numbers(models: tuple[Any, ...]) -> None:
    """PostgreSQL's sequences go on after the rows that were numbered by hand."""
    from django.core.management.color import no_style
    from django.db import connection

    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(sql)


def analyse() -> None:
    """Statistics for the planner, which a database of any age has."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
