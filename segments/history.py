"""Who changed what: the triggers that record it, and the actor they record.

One `Change` is written for each changed value of a segment, of the audience of anything, and of an
attribute that decides access, in the same transaction and whatever wrote the value. The tables to
watch follow from the models and from settings.SEGMENTS. A change without an actor, as raw SQL
makes it, stays "unknown".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction

from .attributes import Lookup, Step, attributes
from .conf import setting
from .models import Segment, SegmentPerson, audience_fields
from .triggers import Trigger


def set_actor(name: str | None, using: str = DEFAULT_DB_ALIAS) -> None:
    """Name who makes the changes that follow in this transaction: a user's id, or a command."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT set_config('segments.actor', %s, true)", [name or ""])
        else:
            # SQLite has one writer at a time, so one row in a table is as good as a local setting.
            cursor.execute("UPDATE segments_actor SET name = %s", [name])


@contextmanager
def acting_as(name: str | None, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Make all changes inside in one transaction, recorded as made by `name`."""
    with transaction.atomic(using=using):
        outside = _actor(using)
        set_actor(name, using)
        yield
        set_actor(outside, using)


def _actor(using: str) -> str | None:
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute("SELECT NULLIF(current_setting('segments.actor', true), '')")
        else:
            cursor.execute("SELECT name FROM segments_actor")
        row = cursor.fetchone()
        return row[0] if row else None


class Watched(NamedTuple):
    """A value that is recorded when it changes: an SQL expression over one row of a table."""

    table: str
    # Whose change it is: the label of a model, and the column that has the object's id.
    model: str
    object_id: str
    # The primary key of the row itself, by which its two versions are matched.
    row_id: str
    # What changes, with {row} for the row, and its name in the history.
    value: str
    field: str
    # What an unremarkable new row has there: not worth a record.
    default: Any = None
    # True where a row that goes away is a change of something that stays, or of a segment.
    records_deletion: bool = False


def history_triggers() -> Iterator[Trigger]:
    """One trigger for each watched value and event."""
    # The same column may be watched for two reasons (role: an attribute, and what makes staff).
    unique = {(w.table, w.model, w.value): w for w in reversed([*_watched()])}
    for watched in unique.values():
        yield _record(watched, "INSERT")
        yield _record(watched, "UPDATE")
        if watched.records_deletion:
            yield _record(watched, "DELETE")


def _watched() -> Iterator[Watched]:
    yield from _segments()
    for field in audience_fields():
        yield _column(field.model, field, field.name)
    for attribute in attributes().values():
        for lookup in attribute.lookups:
            for step in lookup.steps:
                yield from _step(step, attribute.name)
    for role in ("ACTIVE", "STAFF", "ADMIN"):
        for path in _paths(setting(role)):
            for step in Lookup(path).steps:
                yield from _step(step, path)


def recorded_fields(model: Any) -> dict[str, Any]:
    """Name in the history -> the field of the model whose changes are recorded by it.

    What is recorded of two fields by one name is left out: nobody could say of which a value is.
    """
    names = {(w.table, w.model, w.value): w.field for w in reversed([*_watched()])}
    found: dict[str, Any] = {}
    unclear = set()
    for field in [*model._meta.many_to_many, *model._meta.concrete_fields]:
        watched = _link(model, field, "") if field.many_to_many else _column(model, field, "")
        name = names.get((watched.table, watched.model, watched.value))
        if name in found:
            unclear.add(name)
        if name is not None:
            found[name] = field
    return {name: field for name, field in found.items() if name not in unclear}


def _segments() -> Iterator[Watched]:
    for name in ("name", "description", "user_type", "conditions"):
        field = Segment._meta.get_field(name)
        yield _column(Segment, field, name)._replace(default=None, records_deletion=True)
    yield Watched(
        SegmentPerson._meta.db_table,
        Segment._meta.label_lower,
        "segment_id",
        "id",
        "{row}.kind || ' ' || {row}.user_id || COALESCE(' until ' || {row}.until, '')",
        "people",
        records_deletion=True,
    )


def _paths(condition: models.Q) -> Iterator[str]:
    """The fields a Q asks for, operators such as __in left off."""
    for child in condition.children:
        if isinstance(child, models.Q):
            yield from _paths(child)
        elif isinstance(child, tuple):
            field = child[0].split("__")[0]
            if field in {each.name for each in get_user_model()._meta.get_fields()}:
                yield field


def _step(step: Step, name: str) -> Iterator[Watched]:
    """What to watch for one part of a lookup path: a column, a foreign key or a link table."""
    model, field = step
    if field.many_to_many:
        yield _link(model, field, name)
    elif field.one_to_many:
        yield _column(field.related_model, field.field, name)
    elif field.concrete and not field.primary_key:
        yield _column(model, field, name)


def _column(model: Any, field: Any, name: str) -> Watched:
    options = model._meta
    pk, default = options.pk.column, field.get_default() if field.has_default() else None
    value = f'{{row}}."{field.column}"'
    return Watched(options.db_table, options.label_lower, pk, pk, value, name, default)


def _link(model: Any, field: Any, name: str) -> Watched:
    forward = field.field if field.auto_created else field
    ours, theirs = forward.m2m_column_name(), forward.m2m_reverse_name()
    if field.auto_created:
        ours, theirs = theirs, ours
    through, value = forward.remote_field.through._meta, f'{{row}}."{theirs}"'
    return Watched(
        through.db_table,
        model._meta.label_lower,
        ours,
        through.pk.column,
        value,
        name,
        records_deletion=True,
    )


def _record(watched: Watched, event: str) -> Trigger:
    """Write one Change for each changed value: row by row on SQLite, in one statement otherwise."""
    into = "INSERT INTO segments_change (at, actor, model, object_id, field, before, after) SELECT"
    rows = {
        "INSERT": "new_rows",
        "UPDATE": 'old_rows JOIN new_rows ON old_rows."{0}" = new_rows."{0}"',
        "DELETE": "old_rows",
    }[event].format(watched.row_id)
    is_change = _is_change(watched, event, "old_rows", "new_rows", "IS DISTINCT FROM", "true")
    return Trigger(
        watched.table,
        event,
        f"{into} STRFTIME('%Y-%m-%d %H:%M:%f', 'now'), (SELECT name FROM segments_actor), "
        + _change(watched, event, "OLD", "NEW"),
        f"{into} statement_timestamp(), NULLIF(current_setting('segments.actor', true), ''), "
        f"{_change(watched, event, 'old_rows', 'new_rows')} FROM {rows} WHERE {is_change}",
        _is_change(watched, event, "OLD", "NEW", "IS NOT", "1"),
    )


def _change(watched: Watched, event: str, old: str, new: str) -> str:
    """The columns of the Change from `model` on."""
    known = old if event == "DELETE" else new
    before = f"CAST({watched.value.format(row=old)} AS text)" if event != "INSERT" else "NULL"
    after = f"CAST({watched.value.format(row=new)} AS text)" if event != "DELETE" else "NULL"
    whose = f"'{watched.model}', CAST({known}.\"{watched.object_id}\" AS text)"
    return f"{whose}, '{watched.field}', {before}, {after}"


def _is_change(watched: Watched, event: str, old: str, new: str, differs: str, true: str) -> str:
    """When the event is worth a record; `differs` is the operator that treats NULL as a value."""
    before, after = watched.value.format(row=old), watched.value.format(row=new)
    return {
        "INSERT": f"{after} {differs} {_literal(watched.default, true)}",
        "UPDATE": f"{before} {differs} {after}",
        "DELETE": f"{before} {differs} NULL",
    }[event]


def _literal(value: Any, true: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return true if value else f"NOT {true}"
    return str(value) if isinstance(value, int) else "'{}'".format(str(value).replace("'", "''"))
