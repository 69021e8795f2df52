"""Rows in and out past the ORM's query building, for the annotating path alone.

Building a query costs the ORM about ten times what the database takes to run it, and a judgment needs ten of
them. Here the SQL of a statement is put together once; values still pass through each field's own adapters
and converters, so rows look exactly as the ORM's do on either database. On PostgreSQL statements are prepared
(planning one takes longer than running it), and the steps of a `run` travel together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connection, models
from django.db.models import DEFERRED
from django.db.models.expressions import Col

M = TypeVar("M", bound=models.Model)
Row = tuple[Any, ...]
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # connection -> names of statements it knows


class Columns(Generic[M]):
    """The columns of a model under an alias: `sql` to select them, `read` to make an instance of them."""

    def __init__(self, model: type[M], alias: str, *, without: Sequence[str] = ()) -> None:
        self.model = model
        self.fields = [f for f in model._meta.concrete_fields if f.name not in without]
        self.sql = ", ".join(f'{alias}."{f.column}"' for f in self.fields)
        self.names = tuple(f.attname for f in self.fields)
        self.without = bool(without)

    def __len__(self) -> int:
        return len(self.fields)

    def read(self, row: Sequence[Any]) -> M:
        """The instance whose columns `row` begins with; the columns left out load when they are asked for."""
        values = list(row[: len(self.fields)])
        for n, converters, expression in _converters(self.model, self.names, connection.vendor):
            for convert in converters:
                values[n] = convert(values[n], expression, connection)
        if self.without:
            known = dict(zip(self.names, values, strict=True))
            values = [known.get(f.attname, DEFERRED) for f in self.model._meta.concrete_fields]
        made = self.model(*values)
        made._state.adding, made._state.db = False, connection.alias
        return made


@cache
def _converters(model: type[models.Model], names: tuple[str, ...], vendor: str) -> list[tuple[int, list[Any], Col]]:
    """(column, how its value becomes Python's, as which expression), for the columns that need it."""
    found = []
    for n, name in enumerate(names):
        expression = Col("", model._meta.get_field(name))  # type: ignore[arg-type]
        converters = connection.ops.get_db_converters(expression) + expression.get_db_converters(connection)
        if converters:
            found.append((n, converters, expression))
    return found


@dataclass(frozen=True)
class Statement:
    """SQL with %s where values go."""

    sql: str

    @cached_property
    def name(self) -> str:
        return "plumbline_" + blake2b(self.sql.encode(), digest_size=12).hexdigest()

    def text(self) -> str:
        """What to send on this connection: the SQL, or EXECUTE of the statement prepared from it."""
        if connection.vendor != "postgresql" or not settings.PLUMBLINE_DB_PREPARE:
            return self.sql
        connection.ensure_connection()
        known = _prepared.setdefault(connection.connection, set())
        if self.name not in known:
            parts = self.sql.split("%s")
            numbered = "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], start=1)) + parts[-1]
            with connection.cursor() as cursor:
                cursor.execute(f"PREPARE {self.name} AS {numbered}")
            known.add(self.name)
        slots = self.sql.count("%s")
        return f"EXECUTE {self.name}" + (f"({', '.join(['%s'] * slots)})" if slots else "")


statement = cache(Statement)


@dataclass(frozen=True)
class Step:
    """A statement to run and what to do with what came of it: `then` gets the number of rows, and the rows."""

    sql: str
    values: Sequence[Any]
    then: Callable[[int, list[Row]], None] | None = None


def fetch(sql: str, values: Sequence[Any]) -> list[Row]:
    text = statement(sql).text()
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


def run(*steps: Step) -> None:
    """The steps in order; on PostgreSQL in one round trip, so all of them run before the first `then` is asked."""
    if connection.vendor != "postgresql":
        for step in steps:
            with connection.cursor() as cursor:
                cursor.execute(step.sql, step.values)
                _then(step, cursor)
        return
    texts = [statement(step.sql).text() for step in steps]
    with connection.cursor() as cursor:
        cursor.execute("; ".join(texts), [value for step in steps for value in step.values])
        for n, step in enumerate(steps):
            if n:
                cursor.nextset()
            _then(step, cursor)


def _then(step: Step, cursor: Any) -> None:
    if step.then is not None:
        rows = cursor.fetchall() if cursor.description else []
        step.then(cursor.rowcount, rows)


def adapt(model: type[models.Model], name: str, value: Any) -> Any:
    """A value as the database takes it in this column."""
    return model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]


def inserting(row: models.Model) -> Step:
    """INSERT of an instance, as `save` of a new one does. A key that the database draws is not read back."""
    sql, fields = _insert_sql(type(row))
    values = [f.get_db_prep_save(f.pre_save(row, True), connection) for f in fields]

    def then(count: int, rows: list[Row]) -> None:
        row._state.adding, row._state.db = False, connection.alias

    return Step(sql, values, then)


@cache
def _insert_sql(model: type[models.Model]) -> tuple[str, list[Any]]:
    fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
    names = ", ".join(f'"{f.column}"' for f in fields)
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({", ".join(["%s"] * len(fields))})', fields


def updating(
    row: models.Model, changes: dict[str, Any], held: dict[str, Any], then: Callable[[int, list[Row]], None]
) -> Step:
    """UPDATE of one row while the columns in `held` have these values; `then` hears how many rows that was."""
    model = type(row)
    sql = _update_sql(model, tuple(changes), tuple((name, value is None) for name, value in held.items()))
    values = [adapt(model, name, value) for name, value in changes.items()]
    key = adapt(model, model._meta.pk.name, row.pk)
    return Step(sql, [*values, key, *(adapt(model, n, v) for n, v in held.items() if v is not None)], then)


@cache
def _update_sql(model: type[models.Model], changed: tuple[str, ...], held: tuple[tuple[str, bool], ...]) -> str:
    def column(name: str) -> str:
        return f'"{model._meta.get_field(name).column}"'  # type: ignore[union-attr]

    sets = ", ".join(f"{column(name)} = %s" for name in changed)
    tests = [f'"{model._meta.pk.column}" = %s']
    tests += [f"{column(name)} IS NULL" if null else f"{column(name)} = %s" for name, null in held]
    return f'UPDATE "{model._meta.db_table}" SET {sets} WHERE {" AND ".join(tests)}'
