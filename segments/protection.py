"""What may not change: built-in segments, what an audience is, and values that conditions name.

Organizations, groups and tags named in a condition are neither deleted nor renamed.

The audience of a segment must not depend on somebody tidying up tags. Raw SQL gets past this, and
then the condition is false: fewer people see, never more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.deletion import ProtectedError
from django.utils.translation import gettext as _

from .attributes import Attribute, as_json, attributes
from .conditions import named_values, read_conditions
from .models import AudienceSegment, Segment
from .phrases import joined, quoted


class ValueInUse(ProtectedError):
    """Conditions name the value; `protected_objects` are their segments."""


def refuse_deletion(
    sender: Any, instance: models.Model, using: str, origin: Any = None, **kwargs: Any
) -> None:
    """Raise ValueInUse, which lists the segments, when conditions name what is being deleted."""
    if isinstance(instance, Segment) and instance.built_in:
        raise ProtectedError(_("Built-in segments cannot be deleted."), {instance})
    # The links go with their audience or segment, never by themselves.
    if sender is AudienceSegment and AudienceSegment in (
        type(origin),
        getattr(origin, "model", None),
    ):
        raise ProtectedError(_("An audience keeps its segments."), {instance})
    for attribute in _attributes_of(sender):
        _refuse(attribute, getattr(instance, attribute.last.field.attname), instance, using)


def refuse_other_segments(**kwargs: Any) -> None:
    """Raise TypeError for audience.segments.add() and the like: its content would change hands."""
    raise TypeError("An audience never changes; use Audience.of(…) for another one.")


def refuse_renaming(
    sender: Any, instance: models.Model, raw: bool, using: str, **kwargs: Any
) -> None:
    """Raise ValueInUse when the value that conditions name is about to become another one."""
    if raw or instance._state.adding:
        return
    for attribute in _attributes_of(sender):
        field = attribute.last.field
        if field.primary_key:
            continue
        stored = sender._base_manager.using(using).filter(pk=instance.pk)
        for before in stored.values_list(field.attname, flat=True):
            if field.to_python(getattr(instance, field.attname)) != before:
                _refuse(attribute, before, instance, using)


def segments_naming(attribute: Attribute, value: Any, using: str) -> list[Segment]:
    """The segments with a condition that names the value."""
    return [
        segment
        for segment in Segment.objects.using(using).all()
        if as_json(value)
        in named_values(read_conditions(segment.conditions)).get(attribute.name, set())
    ]


def refusals(things: Iterable[models.Model]) -> list[str]:
    """What deleting these would be refused for, in words; for pages that ask beforehand."""
    found = []
    for thing in things:
        try:
            refuse_deletion(type(thing), thing, thing._state.db or DEFAULT_DB_ALIAS)
        except ProtectedError as error:
            found.append(str(error.args[0]))
    return found


def _attributes_of(model: Any) -> list[Attribute]:
    return [a for a in attributes().values() if a.is_listed and a.last.model is model]


def _refuse(attribute: Attribute, value: Any, instance: models.Model, using: str) -> None:
    if segments := segments_naming(attribute, value, using):
        names = joined(quoted(segment) for segment in segments)
        raise ValueInUse(
            _("%(kind)s “%(value)s” is named in the conditions of: %(segments)s.")
            % {"kind": instance._meta.verbose_name, "value": instance, "segments": names},
            set(segments),
        )
