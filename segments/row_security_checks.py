"""System checks of row-level security: a wall with a hole does not count as one.

`manage.py check --database default` asks them of the role that it connects as: run it with the
settings of the web processes. `migrate` and `enable_rls` run as the owner and mend what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from . import policies
from .checks import SNAPSHOT
from .conf import setting

MIDDLEWARE = "segments.row_security.RowSecurityMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@register("segments")
def check_row_security_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """With row-level security on, each request has a transaction, and says who is looking."""
    if not setting("ROW_SECURITY"):
        return []
    wanted = [SNAPSHOT, AUTHENTICATION, MIDDLEWARE]
    if [name for name in settings.MIDDLEWARE if name in wanted] == wanted:
        return []
    words = f"Row-level security needs in MIDDLEWARE, in this order: {', '.join(wanted)}."
    hint = "Put the last one after everything that changes request.user."
    return [Error(words, hint=hint, id="segments.E030")]


@register(Tags.database)
def check_row_security(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The wall is there where it is wanted, and has no hole for the role that is connected."""
    # `migrate` asks for the checks first, as the owner, and it is what puts the policies back.
    if sys.argv[1:2] == ["migrate"]:
        return []
    return [message for alias in databases or [] for message in _of_database(connections[alias])]


def _of_database(connection: Any) -> Iterator[CheckMessage]:
    if "segments_token" not in connection.introspection.table_names():
        return
    is_wanted = setting("ROW_SECURITY")
    if connection.vendor != "postgresql":
        if is_wanted:
            words = f"Database '{connection.alias}' has no row-level security: it is PostgreSQL's."
            yield Error(words, hint="Turn SEGMENTS['ROW_SECURITY'] off.", id="segments.E031")
        return
    if not is_wanted:
        if policies.is_installed(connection):
            yield Error(
                f"Database '{connection.alias}' has row-level security, but it is turned off here.",
                hint="Nothing would be shown. Set SEGMENTS['ROW_SECURITY'] to True, or run "
                "`manage.py enable_rls --disable`.",
                id="segments.E032",
            )
        return
    for check in CHECKS:
        with connection.cursor() as cursor:
            yield from check(connection, cursor)


def _policies(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """Each table has its policy as it is now, and no other one that would open it."""
    wanted = policies.Policies(connection).policies
    present = policies.installed(connection)
    missing = [table for table, policy in wanted.items() if policy.name not in present]
    if missing:
        yield Error(
            f"Policies are missing or outdated on: {', '.join(sorted(missing))}.",
            hint="Run `manage.py enable_rls` as the owner of the tables.",
            id="segments.E033",
        )
    cursor.execute(
        "SELECT polname, relname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid "
        "WHERE relname = ANY(%s) AND polpermissive AND pg_table_is_visible(polrelid) "
        "AND NOT starts_with(polname, %s) ORDER BY 1",
        [list(wanted), policies.PREFIX],
    )
    for name, table in cursor.fetchall():
        yield Error(
            f"The policy {name} opens {table}: of several policies any one suffices.",
            hint="Drop it, or create it AS RESTRICTIVE.",
            id="segments.E034",
        )


def _enabled(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """Security is enabled on every table, and forced: for the owner too."""
    for column, word, id in (
        ("relrowsecurity", "ENABLE", "segments.E035"),
        ("relforcerowsecurity", "FORCE", "segments.E036"),
    ):
        cursor.execute(
            f"SELECT relname FROM pg_class WHERE relname = ANY(%s) AND NOT {column} "
            "AND relkind IN ('r', 'p') AND pg_table_is_visible(oid) ORDER BY 1",
            [_tables(connection)],
        )
        if found := [name for (name,) in cursor.fetchall()]:
            yield Error(
                f"Row-level security lacks {word} on: {', '.join(found)}.",
                hint="Run `manage.py enable_rls` as the owner of the tables.",
                id=id,
            )


def _role(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """The role, and whatever it could become, neither owns the tables nor goes around policies."""
    cursor.execute(
        "SELECT rolname FROM pg_roles WHERE (rolsuper OR rolbypassrls) "
        "AND pg_has_role(oid, 'MEMBER') ORDER BY 1"
    )
    if found := [name for (name,) in cursor.fetchall()]:
        yield Error(
            f"The role {_current(cursor)} is, or can become, one that policies do not bind: "
            f"{', '.join(found)}.",
            hint="Connect the web processes as a role with NOSUPERUSER and NOBYPASSRLS.",
            id="segments.E037",
        )
    cursor.execute(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname = ANY(%s) "
        "AND pg_table_is_visible(oid) AND pg_has_role(relowner, 'MEMBER')",
        [_tables(connection)],
    )
    if found := [name for (name,) in cursor.fetchall()]:
        yield Error(
            f"The role {_current(cursor)} is, or can become, the owner of protected tables: "
            f"{', '.join(found)}.",
            hint="An owner can switch the policies off. Connect the web processes as another role: "
            "`manage.py enable_rls --role NAME` gives it the rights that it needs.",
            id="segments.E038",
        )


def _current(cursor: Any) -> str:
    cursor.execute("SELECT current_user")
    return str(cursor.fetchone()[0])


# The views that read a protected table, directly or through other views.
VIEWS = """
WITH RECURSIVE reads (view) AS (
    SELECT ev_class FROM pg_rewrite JOIN pg_depend ON pg_depend.objid = pg_rewrite.oid
    JOIN pg_class AS t ON t.oid = refobjid
    WHERE pg_depend.classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
    AND t.relname = ANY(%s) AND t.relkind IN ('r', 'p') AND pg_table_is_visible(t.oid)
    UNION
    SELECT ev_class FROM reads JOIN pg_depend ON refobjid = reads.view
    JOIN pg_rewrite ON pg_depend.objid = pg_rewrite.oid
    WHERE pg_depend.classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
)
SELECT oid::regclass::text, relkind FROM reads JOIN pg_class ON oid = view
WHERE relkind = 'm' OR relkind = 'v' AND NOT EXISTS (
    SELECT 1 FROM pg_options_to_table(reloptions)
    WHERE option_name = 'security_invoker' AND option_value IN ('true', 'on', '1', 'yes')
)
ORDER BY 1
"""


def _views(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """No view shows a protected table as somebody else than who asks sees it."""
    cursor.execute(VIEWS, [_tables(connection)])
    for name, kind in cursor.fetchall():
        if kind == "m":
            yield Error(
                f"The materialized view {name} keeps rows of protected tables.",
                hint="Policies do not bind it. Drop it, or make it a view WITH (security_invoker).",
                id="segments.E039",
            )
        else:
            yield Error(
                f"The view {name} reads protected tables with the rights of its owner.",
                hint=f"ALTER VIEW {name} SET (security_invoker = true).",
                id="segments.E040",
            )


def _sessions(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """Outside of a transaction nobody is looking: what a session keeps, the next request gets."""
    names = [policies.WALL, policies.AUDIENCES, policies.GRANTS, policies.PERSON]
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) AS name "
        "WHERE current_setting(name, true) <> '' ORDER BY 1",
        [names],
    )
    if found := [name for (name,) in cursor.fetchall()]:
        yield Error(
            f"Set for the whole session: {', '.join(found)}.",
            hint="Find SET, ALTER ROLE … SET or ALTER DATABASE … SET, or the connection's options, "
            "and remove it: these settings belong to one transaction.",
            id="segments.E041",
        )


def _definers(connection: Any, cursor: Any) -> Iterator[CheckMessage]:
    """No function lends the role the rights of another one.

    What a function reads cannot be known for sure, so it does not matter what it is for.
    """
    cursor.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = pronamespace "
        "WHERE prosecdef AND has_function_privilege(p.oid, 'EXECUTE') "
        "AND nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS ("
        "SELECT 1 FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid "
        "AND deptype = 'e') ORDER BY 1"
    )
    for (name,) in cursor.fetchall():
        yield Error(
            f"The function {name} is SECURITY DEFINER: it may read protected tables as its owner.",
            hint="Make it SECURITY INVOKER, or REVOKE EXECUTE on it from PUBLIC and this role.",
            id="segments.E042",
        )


def _tables(connection: Any) -> list[str]:
    return list(policies.Policies(connection).conditions)


CHECKS = [_policies, _enabled, _role, _views, _sessions, _definers]
