"""Who can see this? The reverse of `visible_to`, from the same rule: one object, all people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from .conf import setting
from .explain import ancestry
from .models import Audience
from .querysets import has_audience
from .ruleset import RulesUnavailable, Viewer, current_ruleset

# Somebody in nobody's place: their rights are said, and they own nothing.
NO_ONE = 0


@dataclass(frozen=True)
class Reach:
    """Everybody who can see an object, by why they can."""

    # Anonymous visitors can, and so everybody can.
    is_public: bool
    # Admitted by every audience, the object's own and its ancestors'.
    members: QuerySet[Any]
    # Whatever the audiences say: admins, and the staff who may edit the object or its article.
    admins: QuerySet[Any]
    editors: QuerySet[Any]


def reach_of(thing: Any) -> Reach:
    """Who can see the object as it is stored, as querysets of active users for a million people.

    Nobody while there are no rules, or when not even admins see it. A model may narrow `visible_to`
    for single people (an unused file is its uploader's): that is not looked at here.
    """
    using = thing._state.db
    people = get_user_model()._base_manager.using(using).filter(setting("ACTIVE"))
    thing = type(thing)._base_manager.using(using).filter(pk=thing.pk).first()
    if thing is None or not _is_shown_at_all(thing):
        return Reach(False, people.none(), people.none(), people.none())
    levels = ancestry(thing)
    return Reach(
        is_public=thing.is_visible_to(AnonymousUser()),
        members=people.filter(_members(thing, levels)),
        admins=people.filter(setting("ADMIN")),
        editors=people.filter(setting("STAFF")).filter(_editors(thing, levels)),
    )


def _is_shown_at_all(thing: Any) -> bool:
    try:
        current_ruleset(thing._state.db)
    except RulesUnavailable:
        return False
    return bool(thing.is_visible_to(Viewer(NO_ONE, is_staff=True, is_admin=True)))


def _members(thing: Any, levels: list[Any]) -> Q:
    """The people whom each level's audience admits; nobody where something else hides the thing."""
    audiences = {level.audience for level in levels if has_audience(type(level))}
    admitted = frozenset(each.pk for each in audiences if each.pk != Audience.NOBODY)
    # Somebody whom every audience admits: what even they cannot see is unpublished or broken.
    found = Q(pk__in=[]) if not thing.is_visible_to(Viewer(NO_ONE, audiences=admitted)) else Q()
    for audience in audiences:
        if audience.pk != Audience.EVERYONE:
            found &= _in_any(audience)
    return found


def _editors(thing: Any, levels: list[Any]) -> Q:
    """The members of the audiences of editors by which the rule shows the thing."""
    found = Q(pk__in=[])
    for audience in set(_audiences_of_editors(levels)):
        editor = Viewer(NO_ONE, is_staff=True, audiences=frozenset([audience.pk]))
        if thing.is_visible_to(editor):
            found |= _in_any(audience)
    return found


def _audiences_of_editors(levels: list[Any]) -> Iterator[Audience]:
    for level in levels:
        rows = type(level)._base_manager.using(level._state.db).filter(pk=level.pk)
        for lookup in type(level).audience_editors:
            found = list(rows.values_list(lookup, flat=True))
            yield from Audience.objects.using(level._state.db).filter(pk__in=found)


def _in_any(audience: Audience) -> Q:
    """The members of any of the audience's segments. Of "everyone" there are none by name."""
    admitted = Q(pk__in=[])
    for segment in audience.segments.all():
        admitted |= Q(pk__in=segment.members().values("pk"))
    return admitted
