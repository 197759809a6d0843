"""Row-level security in tests: the wall, and the role of the web processes before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from segments import policies
from segments.row_security import see_as

# tests/postgres.py makes it: it owns nothing, and is no superuser.
WEB = "helpcenter_web"

only_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="row-level security is PostgreSQL's"
)


def build() -> None:
    """Put up the wall, and let the web role read and write."""
    policies.install(connection)
    policies.grant(connection, WEB)


def connect_as(role: str) -> None:
    """Let go of the connection; the next one is this role's."""
    connection.close()
    connection.settings_dict["USER"] = role


@contextmanager
def seen_by(viewer: Any, writes: bool = False) -> Iterator[None]:
    """Inside, the connection has the web role's rights, and the viewer is looking."""
    with transaction.atomic():
        execute(f"SET LOCAL ROLE {WEB}")
        if not writes:
            execute("SET LOCAL transaction_read_only = on")
        see_as(viewer)
        yield
        # Gives back the role, and the settings of before.
        transaction.set_rollback(True)


def execute(statement: str, *params: Any) -> list[Any]:
    """The rows of a statement that knows no model."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchall() if cursor.description else []


def rows_of(*models: Any) -> dict[Any, set[Any]]:
    """Model -> the ids in its table, by SQL without any condition."""
    tables = {model._meta.db_table: model for model in models}
    parts = [f"SELECT '{table}', array_agg(id) FROM {table}" for table in tables]
    found = execute(" UNION ALL ".join(parts))
    return {tables[table]: set(ids or []) for table, ids in found}
