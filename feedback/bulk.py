"""Many rows in one go, where building a model instance for each would take most of the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, models


def insert(model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows of database values in the order of `columns`: COPY on PostgreSQL, one prepared statement on SQLite.

    No defaults are filled in and no conflict is forgiven; values are as the database takes them.
    """
    table, names = connection.ops.quote_name(model._meta.db_table), ", ".join(map(connection.ops.quote_name, columns))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["?"] * len(columns))
            plain = ([v.hex if isinstance(v, UUID) else v for v in row] for row in rows)
            cursor.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", plain)
