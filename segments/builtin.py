"""The rows that always exist: built-in segments, two fixed audiences, the token, the actor."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connections
from django.utils.translation import gettext_noop

# User type, which is also the mark `built_in` -> fixed id and name.
SEGMENTS = {
    "signed_in_users": (1, gettext_noop("Signed-in users")),
    "staff": (2, gettext_noop("Agents and admins")),
}
# Segments that never hold anybody and are in no audience. They are ids for interfaces that can say
# who sees something by ids of segments only: mark `built_in` -> fixed id and name.
PLACEHOLDERS = {
    "nobody": (3, gettext_noop("Nobody")),
    "ancestors": (4, gettext_noop("Restricted by its section")),
}
NOBODY, EVERYONE = 1, 2


def restore_rows(using: str, get_model: Callable[[str, str], Any] = apps.get_model) -> None:
    """Create the rows that are missing; others stay as they are. Also used by a migration."""

    def rows(name: str) -> Any:
        return get_model("segments", name)._base_manager.using(using)

    segment, audience = get_model("segments", "Segment"), get_model("segments", "Audience")
    # bulk_create: save() refuses to touch built-in segments.
    rows("Segment").bulk_create(
        [
            segment(pk=pk, name=name, user_type=user_type, built_in=user_type)
            for user_type, (pk, name) in SEGMENTS.items()
        ],
        ignore_conflicts=True,
    )
    if _allows_placeholders(segment):
        rows("Segment").bulk_create(
            [
                segment(
                    pk=pk,
                    name=_free_name(rows("Segment"), name),
                    user_type="staff",
                    built_in=mark,
                )
                for mark, (pk, name) in PLACEHOLDERS.items()
            ],
            ignore_conflicts=True,
        )
    if rows("Audience").filter(pk__in=[NOBODY, EVERYONE]).count() < 2:
        fixed = [audience(pk=NOBODY, key="nobody"), audience(pk=EVERYONE, key="everyone")]
        rows("Audience").bulk_create(fixed, ignore_conflicts=True)
        _start_after_fixed_ids(audience, using)
    if not rows("Token").exists():
        rows("Token").create(pk=1, value=secrets.token_hex(16))
    rows("Actor").get_or_create(pk=1)


def _allows_placeholders(segment: Any) -> bool:
    """False in the migrations before the one that lets these marks be stored."""
    names = {constraint.name for constraint in segment._meta.constraints}
    return "segments_segment_built_in" not in names


def _free_name(segments: Any, name: str) -> str:
    """The name, or a longer one when a site's own segment had it before the placeholders came."""
    # A name that is taken would be a conflict, and ignored: the row would silently be missing.
    # Where it is the row itself that has it, its id is the conflict, and the row stays as it is.
    while segments.filter(name=name).exists():
        name += " (built-in)"
    return name


def _start_after_fixed_ids(model: Any, using: str) -> None:
    """PostgreSQL's sequence does not notice ids that were given; the next audience would be 1."""
    with connections[using].cursor() as cursor:
        for statement in connections[using].ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)
