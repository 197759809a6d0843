"""Changes of audiences, made: what `effects` says beforehand, in as few statements as can be."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from .effects import Admission, Becomes, replacing
from .models import Audience, Segment, audience_fields


def admission_of(audience: Audience) -> Admission:
    """Whom an audience admits, as effects are asked by."""
    if audience.pk == Audience.EVERYONE:
        return None
    # In Python: the segments may have been prefetched.
    return frozenset(segment.pk for segment in audience.segments.all())


def audience_for(admission: Admission) -> Audience:
    """The audience that admits these."""
    if admission is None:
        return Audience.everyone()
    if not admission:
        return Audience.nobody()
    return Audience.of(*Segment.objects.filter(pk__in=admission))


def move_all(rows: QuerySet[Any], becomes: Becomes, name: str = "audience") -> int:
    """Give rows of one model other audiences: one UPDATE for each that there is. How many changed.

    All of it or nothing.
    """
    with transaction.atomic():
        # Audiences first, content after: every writer locks in this order.
        found = Audience.objects.filter(pk__in=rows.order_by().values(name).distinct())
        new = {
            audience: audience_for(becomes(admission_of(audience)))
            for audience in found.prefetch_related("segments")
        }
        return sum(
            rows.filter(**{name: old}).update(**{name: audience})
            for old, audience in new.items()
            if audience != old
        )


def replace_segment(segment: Segment, by: Segment) -> None:
    """Name `by` in every audience that names the segment, and delete it. All of it or nothing."""
    with transaction.atomic():
        for field in audience_fields():
            # The base manager: what the deletion would be refused for, all of it.
            rows = field.model._base_manager.filter(**{f"{field.name}__segments": segment})
            rows = field.model._base_manager.filter(pk__in=rows.values("pk"))
            move_all(rows, replacing(segment.pk, by.pk), field.name)
        segment.delete()
