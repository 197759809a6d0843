"""Who can see this? The reverse of `visible_to`, from the same rule: one object, all people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from .conf import setting
from .explain import ancestry
from .models import Audience
from .querysets import has_audience
from .ruleset import Viewer


@dataclass(frozen=True)
class Reach:
    """Everybody who can see an object, by why they can."""

    # Anonymous visitors can, and so everybody can.
    is_public: bool
    # Admitted by every audience, the object's own and its ancestors'.
    members: QuerySet[Any]
    # Whatever the audiences say: admins, and the staff who may edit the object.
    admins: QuerySet[Any]
    editors: QuerySet[Any]


def reach_of(thing: Any) -> Reach:
    """Who can see the object now, as querysets of users that scale to a million people.

    A category or section may hide itself further when it is empty; that is not looked at here.
    """
    people = get_user_model()._base_manager.using(thing._state.db).filter(setting("ACTIVE"))
    return Reach(
        is_public=thing.is_visible_to(AnonymousUser()),
        members=_members(thing, people),
        admins=people.filter(setting("ADMIN")),
        editors=people.filter(setting("STAFF")).filter(_editors(thing)),
    )


def _members(thing: Any, people: QuerySet[Any]) -> QuerySet[Any]:
    using = thing._state.db
    audiences = Audience.objects.using(using).exclude(pk=Audience.NOBODY)
    # Somebody whom every audience admits: what even they cannot see is unpublished or broken.
    anybody = Viewer(pk=0, audiences=frozenset(audiences.values_list("pk", flat=True)))
    if not thing.is_visible_to(anybody):
        return people.none()
    wanted = {each.audience_id for each in ancestry(thing) if has_audience(type(each))}
    for audience in audiences.filter(pk__in=wanted - {Audience.EVERYONE}):
        people = people.filter(_in_any(audience))
    return people


def _in_any(audience: Audience) -> Q:
    """The members of any of the audience's segments."""
    admitted = Q(pk__in=[])
    for segment in audience.segments.all():
        admitted |= Q(pk__in=segment.members().values("pk"))
    return admitted


def _editors(thing: Any) -> Q:
    """The members of the audiences that `audience_editors` leads to; everyone is no editor."""
    found = Q(pk__in=[])
    for lookup in type(thing).audience_editors:
        rows = type(thing)._base_manager.using(thing._state.db).filter(pk=thing.pk)
        pks = rows.values_list(lookup, flat=True)
        for audience in Audience.objects.using(thing._state.db).filter(pk__in=list(pks)):
            found |= _in_any(audience)
    return found
