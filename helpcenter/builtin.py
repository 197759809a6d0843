"""The row that always exists: the permission group "Managers", in which only admins may edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connections
from django.utils.translation import gettext_noop

from segments import builtin as audiences

from . import publishing, search

MANAGERS = 1


def restore_rows(using: str, get_model: Callable[[str, str], Any] = apps.get_model) -> None:
    """Create the built-in permission group if it is missing. Also used by a migration."""
    group = get_model("helpcenter", "PermissionGroup")
    rows = group._base_manager.using(using)
    rows.get_or_create(pk=MANAGERS, defaults={"name": gettext_noop("Managers"), "built_in": True})


def restore_after_migrate(using: str, plan: Any = (), **kwargs: Any) -> None:
    """Put the row back after a flush, and catch up with what migrations wrote without triggers.

    A handler of the post_migrate signal; on SQLite the triggers are gone while migrations run.
    """
    connection = connections[using]
    table = apps.get_model("helpcenter", "PermissionGroup")._meta.db_table
    if table not in connection.introspection.table_names():
        return
    # The group names the audience "nobody", which after a flush is not there yet either.
    audiences.restore_rows(using)
    restore_rows(using)
    if plan and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(publishing.CATCH_UP)
            cursor.execute(search.CATCH_UP)
