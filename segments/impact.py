"""What would a change of a segment do? Asked of a draft that is never stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from .conditions import clean_conditions
from .models import Audience, Segment, SegmentPerson
from .querysets import Among, has_audience


@dataclass(frozen=True)
class Impact:
    """Who is in a segment before and after a change, and where it is used."""

    before: QuerySet[Any]
    after: QuerySet[Any]
    gains: QuerySet[Any]
    loses: QuerySet[Any]
    # As `Segment.uses()`: one non-empty queryset for each kind.
    uses: list[QuerySet[Any]]


def impact_of(
    segment: Segment,
    *,
    user_type: str | None = None,
    conditions: Any = None,
    included: Iterable[Any] | None = None,
    excluded: Iterable[Any] | None = None,
) -> Impact:
    """What storing these would change; what is left out stays. ValidationError as for storing.

    `included` and `excluded` are ids of people without an end date, instead of those in force.
    Nothing is written. A segment that is not stored yet has nobody in it before.
    """
    draft = _draft(segment, user_type or segment.user_type, conditions)
    named = {SegmentPerson.INCLUDED: _listed(included), SegmentPerson.EXCLUDED: _listed(excluded)}
    if segment.built_in and any(named.values()):
        raise ValidationError(_("Built-in segments cannot be changed."))
    after = draft.members_with(*(_named(draft, kind, ids) for kind, ids in named.items()))
    before = segment.members().none() if segment._state.adding else segment.members()
    return Impact(
        before=before,
        after=after,
        gains=without(after, before),
        loses=without(before, after),
        uses=segment.uses(),
    )


def without(people: QuerySet[Any], others: QuerySet[Any]) -> QuerySet[Any]:
    """Those of the people who are not among the others.

    By id: a negated condition on NULL would be neither true nor false. And as NOT EXISTS: of a
    million ids in NOT IN, PostgreSQL makes a list that it reads for each row.
    """
    return people.filter(~Exists(others.order_by().filter(pk=OuterRef("pk"))))


def _draft(segment: Segment, user_type: str, conditions: Any) -> Segment:
    """The segment as it would be stored, and is not."""
    draft = Segment(
        pk=segment.pk,
        user_type=user_type,
        conditions=segment.conditions if conditions is None else conditions,
        built_in=segment.built_in,
    )
    draft._state.db = segment._state.db
    if conditions is None and user_type == segment.user_type:
        return draft
    if segment.built_in:
        raise ValidationError(_("Built-in segments cannot be changed."))
    draft.clean_fields(exclude=["name"])
    try:
        draft.conditions = clean_conditions(draft.conditions, user_type, draft._state.db)
    except ValidationError as error:
        raise ValidationError({"conditions": error.messages}) from error
    return draft


def _listed(ids: Iterable[Any] | None) -> list[Any] | None:
    return None if ids is None else list(ids)


def _named(draft: Segment, kind: str, ids: list[Any] | None) -> Q:
    return draft.named(kind) if ids is None else Q(Among("pk", ids))


def content_of(segment: Segment, model: Any) -> QuerySet[Any]:
    """What of a model is restricted by the segment: by its own audience or by an ancestor's.

    One query for the audiences and a few for each level above, however many rows there are.
    """
    using = segment._state.db
    audiences = Audience.objects.using(using).filter(segments=segment)
    ids = list(audiences.values_list("pk", flat=True))
    # The base manager: whoever may change a segment learns of everything that it restricts.
    return model._base_manager.using(using).filter(_restricted(model, ids, using))


def _restricted(model: Any, audiences: list[int], using: str | None, prefix: str = "") -> Q:
    """What of a model is restricted; `prefix` leads to it. Ids are passed down, as by the rule."""
    found = Q(Among(f"{prefix}audience_id", audiences)) if has_audience(model) else Q(pk__in=[])
    nested_by = None
    for name in model.audience_parents:
        field = model._meta.get_field(name)
        parent = field.related_model
        if parent is model:
            nested_by = field.attname
        elif parent.audience_passes_ids:
            rows = parent._base_manager.using(using)
            rows = rows.filter(_restricted(parent, audiences, using))
            above = list(rows.values_list("pk", flat=True))
            found |= Q(Among(f"{prefix}{field.attname}", above))
        else:
            found |= _restricted(parent, audiences, using, f"{prefix}{name}__")
    return found if nested_by is None else _and_inside(model, nested_by, found, using, prefix)


def _and_inside(model: Any, nested_by: str, found: Q, using: str | None, prefix: str) -> Q:
    """What is found, and what is nested in it."""
    rows = model._base_manager.using(using)
    level = set(rows.filter(found).values_list("pk", flat=True))
    restricted = set(level)
    for _step in range(model.audience_depth - 1):
        inside = rows.filter(Among(nested_by, sorted(level)))
        level = set(inside.values_list("pk", flat=True)) - restricted
        restricted |= level
    return Q(Among(f"{prefix}pk", sorted(restricted)))
