"""What would a change of a segment do? Asked of a draft that is never stored."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from .conditions import clean_conditions
from .models import Audience, Segment, SegmentPerson
from .querysets import Among, has_audience


@dataclass(frozen=True)
class Impact:
    """Who is in a segment before and after a change, as querysets of users."""

    before: QuerySet[Any]
    after: QuerySet[Any]
    gains: QuerySet[Any]
    loses: QuerySet[Any]


def impact_of(
    segment: Segment,
    *,
    user_type: str | None = None,
    conditions: Any = None,
    included: Collection[Any] | None = None,
    excluded: Collection[Any] | None = None,
) -> Impact:
    """What storing these would change; what is left out stays. ValidationError as for storing.

    `included` and `excluded` are ids of people. Nothing is written. A segment that is not stored
    yet has nobody in it before.
    """
    user_type = user_type or segment.user_type
    wanted = segment.conditions if conditions is None else clean_conditions(conditions, user_type)
    draft = Segment(
        pk=segment.pk, user_type=user_type, conditions=wanted, built_in=segment.built_in
    )
    draft._state.db = segment._state.db
    after = draft.members_with(
        _named(draft, SegmentPerson.INCLUDED, included),
        _named(draft, SegmentPerson.EXCLUDED, excluded),
    )
    before = segment.members().none() if segment._state.adding else segment.members()
    # By ids: a negated condition on NULL would be neither true nor false.
    return Impact(
        before=before,
        after=after,
        gains=after.exclude(pk__in=before.values("pk")),
        loses=before.exclude(pk__in=after.values("pk")),
    )


def _named(draft: Segment, kind: str, ids: Collection[Any] | None) -> Q:
    if ids is None:
        return draft.named(kind)
    return Q(Among("pk", list(ids))) if ids else Q(pk__in=[])


def content_of(segment: Segment, model: Any) -> QuerySet[Any]:
    """What of a model is restricted by the segment: by its own audience or by an ancestor's."""
    audiences = Audience.objects.using(segment._state.db).filter(segments=segment)
    ids = list(audiences.values_list("pk", flat=True))
    # The base manager: whoever may change a segment learns of everything that it restricts.
    return model._base_manager.using(segment._state.db).filter(_restricted(model, ids))


def _restricted(model: Any, audiences: list[int]) -> Q:
    found = Q(audience__in=audiences) if has_audience(model) else Q(pk__in=[])
    nested_by = None
    for name in model.audience_parents:
        parent = model._meta.get_field(name).related_model
        if parent is model:
            nested_by = name
            continue
        rows = parent._base_manager.filter(_restricted(parent, audiences))
        found |= Q(**{f"{name}__in": list(rows.values_list("pk", flat=True))})
    return found if nested_by is None else _and_inside(model, nested_by, found)


def _and_inside(model: Any, nested_by: str, found: Q) -> Q:
    """What is found, and what is nested in it."""
    level = set(model._base_manager.filter(found).values_list("pk", flat=True))
    restricted = set(level)
    for _ in range(model.audience_depth - 1):
        inside = model._base_manager.filter(**{f"{nested_by}__in": level})
        level = set(inside.values_list("pk", flat=True)) - restricted
        restricted |= level
    return Q(pk__in=restricted)
