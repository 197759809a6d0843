"""Database triggers: they see what signals do not (bulk updates, raw SQL, cascades).

Django's table rebuild on SQLite drops them, so they are installed after every `migrate`, and
`checks.py` fails when one is missing. The name of each holds a digest of its text, so an outdated
one counts as missing. What the triggers do is said by providers: here the one that renews the
token of the rules, in `history.py` the one that records changes; a project may add its own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .attributes import attributes
from .models import Audience, AudienceSegment, Segment, Token

PREFIX = "segments_trg_"
# The names that the statements of PostgreSQL's triggers give to the changed rows.
TRANSITION_TABLES = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


class Trigger(NamedTuple):
    """What to do after an event on a table, in the SQL of each database."""

    table: str
    event: str
    # Empty where that database does not need it.
    # Runs for each row, with OLD and NEW, where `when` (if any) is true.
    sqlite: str
    # Runs once for the whole statement, with old_rows and new_rows.
    postgresql: str
    when: str = ""

    @property
    def name(self) -> str:
        """Differs as soon as anything about the trigger does."""
        return PREFIX + hashlib.sha256("|".join(self).encode()).hexdigest()[:16]

    def create(self, vendor: str) -> list[str]:
        """The statements that create it."""
        if vendor == "sqlite":
            when = f"WHEN {self.when} " if self.when else ""
            return [
                f'CREATE TRIGGER {self.name} AFTER {self.event} ON "{self.table}" '
                f"FOR EACH ROW {when}BEGIN {self.sqlite}; END"
            ]
        return [
            f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN {self.postgresql}; RETURN NULL; END$$",
            # Replacing one that is disabled enables it.
            f'CREATE OR REPLACE TRIGGER {self.name} AFTER {self.event} ON "{self.table}" '
            f"{TRANSITION_TABLES[self.event]} FOR EACH STATEMENT EXECUTE FUNCTION {self.name}()",
        ]


def token_triggers() -> Iterator[Trigger]:
    """Whatever the compiled rules were made from gets a new token with each change."""
    for model in (Segment, Audience, AudienceSegment):
        for event in TRANSITION_TABLES:
            yield _renew_token(model._meta.db_table, event)
    for attribute in attributes().values():
        if attribute.is_listed:
            # A value that goes, or is renamed, makes conditions false. One that comes cannot make
            # them true behind our back: the ruleset knows which values it misses.
            table, column = attribute.last.model._meta.db_table, attribute.last.field.column
            yield _renew_token(table, "DELETE")
            yield _renew_token(table, "TRUNCATE")
            yield _renew_token(table, "UPDATE", column)


def _renew_token(table: str, event: str, column: str = "") -> Trigger:
    """A new token after the event; after updates only if they change the column, if named."""
    changed = f'(SELECT "{column}" FROM old_rows EXCEPT SELECT "{column}" FROM new_rows)'
    for_each_row = "UPDATE segments_token SET value = lower(hex(randomblob(16)))"
    return Trigger(
        table,
        event,
        for_each_row if event != "TRUNCATE" else "",
        "UPDATE segments_token SET value = gen_random_uuid()::text"
        + (f" WHERE EXISTS {changed}" if column else ""),
        f'OLD."{column}" IS NOT NEW."{column}"' if column else "",
    )


providers: list[Callable[[], Iterable[Trigger]]] = [token_triggers]


def install(connection: Any) -> None:
    """Create the triggers that are missing and drop outdated ones."""
    wanted, present = expected(connection), installed(connection)
    _drop(connection, {name: present[name] for name in present.keys() - wanted.keys()})
    created = [trigger for name, trigger in wanted.items() if name not in present]
    with connection.cursor() as cursor:
        for trigger in created:
            for statement in trigger.create(connection.vendor):
                cursor.execute(statement)
    if created:
        # Nobody was told of what changed while they were missing.
        Token.objects.using(connection.alias).update(value=secrets.token_hex(16))


def uninstall(connection: Any) -> None:
    """Drop all of them; `install` puts them back."""
    _drop(connection, installed(connection))


def _drop(connection: Any, triggers: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        for name, table in triggers.items():
            on = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER {name}{on}")


def missing(connection: Any) -> list[str]:
    """The tables that lack a trigger they should have; empty when all is well."""
    present = installed(connection)
    return sorted({t.table for name, t in expected(connection).items() if name not in present})


def expected(connection: Any) -> dict[str, Trigger]:
    """Name -> trigger, for every table that exists."""
    tables = set(connection.introspection.table_names())
    return {
        trigger.name: trigger
        for provider in providers
        for trigger in provider()
        if trigger.table in tables and getattr(trigger, connection.vendor)
    }


def installed(connection: Any) -> dict[str, str]:
    """Name -> table of the triggers of ours that exist and are enabled."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname, tgrelid::regclass::text FROM pg_trigger "
                "WHERE starts_with(tgname, %s) AND tgenabled IN ('O', 'A') "
                "AND pg_table_is_visible(tgrelid)",
                [PREFIX],
            )
        else:
            cursor.execute(
                "SELECT name, tbl_name FROM sqlite_master "
                "WHERE type = 'trigger' AND substr(name, 1, %s) = %s",
                [len(PREFIX), PREFIX],
            )
        return dict(cursor.fetchall())
