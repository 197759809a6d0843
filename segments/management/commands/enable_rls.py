"""`manage.py enable_rls --role helpcenter_web`: see docs/row_level_security.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from segments import policies
from segments.conf import setting


class Command(BaseCommand):
    """Puts up the wall, or takes it down; doing so twice changes nothing."""

    help = "Hides restricted rows by PostgreSQL's row-level security. Run it as the tables' owner."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=list(connections))
        parser.add_argument(
            "--role",
            action="append",
            default=[],
            metavar="NAME",
            help="let this role, of the web processes, read and write rows (repeatable)",
        )
        parser.add_argument("--disable", action="store_true", help="take the wall down")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql":
            raise CommandError(
                f"Row-level security is a feature of PostgreSQL, and the database "
                f"'{options['database']}' is {connection.display_name}. Nothing was changed."
            )
        if options["disable"] and options["role"]:
            raise CommandError("--role belongs to a wall, and --disable takes it down.")
        self._check_roles(connection, options["role"])
        with transaction.atomic(using=options["database"]):
            if options["disable"]:
                policies.uninstall(connection)
            else:
                policies.install(connection)
            for role in options["role"]:
                policies.grant(connection, role)
        self._say(connection, options)

    def _check_roles(self, connection: Any, roles: list[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name "
                "WHERE name NOT IN (SELECT rolname FROM pg_roles)",
                [roles],
            )
            if missing := cursor.fetchone():
                raise CommandError(
                    f"There is no role {missing[0]}. A superuser makes it: "
                    f"CREATE ROLE {missing[0]} LOGIN NOSUPERUSER NOBYPASSRLS."
                )

    def _say(self, connection: Any, options: dict[str, Any]) -> None:
        if options["disable"]:
            self.stdout.write("Row-level security is off.")
            return
        tables = policies.installed(connection).values()
        self.stdout.write(f"Row-level security is on for {len(tables)} tables.")
        if not setting("ROW_SECURITY"):
            self.stdout.write(
                "Set SEGMENTS['ROW_SECURITY'] to True now: until then the site shows nothing."
            )
