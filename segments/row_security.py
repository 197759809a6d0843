"""Who the database shows its rows to: the viewer of a transaction, for row-level security.

Off unless SEGMENTS["ROW_SECURITY"] is True; then a database without `manage.py enable_rls` fails
the checks, and so does one with a hole in the wall. docs/row_level_security.md says how to turn it
on and what it protects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http import HttpRequest, HttpResponseBase

from .conf import setting
from .models import Audience
from .policies import AUDIENCES, GRANTS, LIFTED, PERSON, WALL
from .ruleset import viewer_for


def is_on(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Does the project want the wall, and can this database have it?"""
    return bool(setting("ROW_SECURITY")) and connections[using].vendor == "postgresql"


def see_as(user: Any, using: str = DEFAULT_DB_ALIAS) -> None:
    """Show this viewer's rows for the rest of the transaction; outside of one, nothing is shown.

    For whoever signs a request in by other means than Django's authentication middleware.
    """
    # Never for longer than the transaction: the connection serves others next.
    if not is_on(using) or not connections[using].in_atomic_block:
        return
    viewer = viewer_for(user, using)
    granted = viewer.audiences - {Audience.EVERYONE} if viewer.is_staff else frozenset()
    _set(
        using,
        {
            WALL: LIFTED if viewer.is_admin else "",
            AUDIENCES: _array(viewer.audiences),
            GRANTS: _array(granted),
            PERSON: str(viewer.pk or ""),
        },
    )


def _array(ids: frozenset[int]) -> str:
    return f"{{{','.join(map(str, sorted(ids)))}}}"


def _set(using: str, values: dict[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, true)"] * len(values))
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [each for pair in values.items() for each in pair])


@contextmanager
def lifted(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """All rows are shown inside: for commands, and for questions about everybody's content.

    Whoever reads like this decides by the rule, not by what was found, what leaves the process.
    """
    if not is_on(using):
        yield
        return
    if not connections[using].in_atomic_block:
        with transaction.atomic(using=using), lifted(using):
            yield
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting(%s, true), set_config(%s, %s, true)", [WALL, WALL, LIFTED]
        )
        outside = cursor.fetchone()[0] or ""
    try:
        yield
    finally:
        # Rolling back puts the wall up again, and until then nothing is executed.
        if _goes_on(connections[using]):
            _set(using, {WALL: outside})


def _goes_on(connection: Any) -> bool:
    """The transaction is neither broken nor condemned."""
    if connection.connection is None or connection.needs_rollback:
        return False
    return bool(connection.connection.info.transaction_status.name == "INTRANS")


class RowSecurityMiddleware:
    """Says who is looking, once that is known: after everything that changes `request.user`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not setting("ROW_SECURITY"):
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        see_as(request.user)
        return self.get_response(request)
