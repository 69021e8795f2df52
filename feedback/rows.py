"""Rows in and out past the ORM's query building, for the annotating path alone.

Building a query costs the ORM about ten times what the database takes to run it, and a judgment needs ten of
them. Here the SQL of a statement is put together once; values still pass through each field's own adapters
and converters, so rows look exactly as the ORM's do on either database.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Generic, TypeVar

from django.db import connection, models
from django.db.models import DEFERRED
from django.db.models.expressions import Col

Converter = tuple[int, list[Any], Col]
M = TypeVar("M", bound=models.Model)


class Columns(Generic[M]):
    """The columns of a model under an alias: `sql` to select them, `read` to make an instance of them."""

    def __init__(self, model: type[M], alias: str, *, without: Sequence[str] = ()) -> None:
        self.model, self.alias = model, alias
        self.fields = [f for f in model._meta.concrete_fields if f.name not in without]
        self.sql = ", ".join(f'{alias}."{f.column}"' for f in self.fields)
        self.without = bool(without)
        self.names = [f.attname for f in self.fields]

    def __len__(self) -> int:
        return len(self.fields)

    def read(self, row: Sequence[Any]) -> M:
        """The instance whose columns `row` begins with; the columns left out load when they are asked for."""
        values = list(row[: len(self.fields)])
        for n, converters, expression in self._converters(connection.vendor):
            for convert in converters:
                values[n] = convert(values[n], expression, connection)
        if self.without:
            known = dict(zip(self.names, values, strict=True))
            values = [known.get(f.attname, DEFERRED) for f in self.model._meta.concrete_fields]
        made = self.model(*values)
        made._state.adding, made._state.db = False, connection.alias
        return made

    def _converters(self, vendor: str) -> list[Converter]:
        return _converters(self.model, tuple(f.attname for f in self.fields), vendor)


@cache
def _converters(model: type[models.Model], names: tuple[str, ...], vendor: str) -> list[Converter]:
    """(column, how its value becomes Python's, as which expression), for the columns that need it."""
    found = []
    for n, name in enumerate(names):
        expression = Col("", model._meta.get_field(name))  # type: ignore[arg-type]
        converters = connection.ops.get_db_converters(expression) + expression.get_db_converters(connection)
        if converters:
            found.append((n, converters, expression))
    return found


def fetch(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def adapt(model: type[models.Model], name: str, value: Any) -> Any:
    """A value as the database takes it in this column."""
    return model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]


def insert(row: models.Model) -> None:
    """INSERT of an instance, as `save` of a new one does. A key that the database draws is not read back."""
    model = type(row)
    sql, fields = _insert_sql(model)
    values = [f.get_db_prep_save(f.pre_save(row, True), connection) for f in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
    row._state.adding, row._state.db = False, connection.alias


@cache
def _insert_sql(model: type[models.Model]) -> tuple[str, list[Any]]:
    fields = [f for f in model._meta.concrete_fields if not isinstance(f, models.AutoField)]
    names = ", ".join(f'"{f.column}"' for f in fields)
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({", ".join(["%s"] * len(fields))})', fields


def update(row: models.Model, changes: dict[str, Any], held: dict[str, Any]) -> int:
    """UPDATE of one row while the columns in `held` have these values; how many rows it found (1 or 0)."""
    model = type(row)
    columns = {name: model._meta.get_field(name) for name in (*changes, *held)}
    sets = ", ".join(f'"{columns[name].column}" = %s' for name in changes)  # type: ignore[union-attr]
    values = [adapt(model, name, value) for name, value in changes.items()]
    pk = model._meta.pk
    tests, tested = [f'"{pk.column}" = %s'], [pk.get_db_prep_save(row.pk, connection)]
    for name, value in held.items():
        column = columns[name].column  # type: ignore[union-attr]
        tests.append(f'"{column}" IS NULL' if value is None else f'"{column}" = %s')
        tested += [] if value is None else [adapt(model, name, value)]
    sql = f'UPDATE "{model._meta.db_table}" SET {sets} WHERE {" AND ".join(tests)}'
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, *tested])
        return cursor.rowcount
