"""Audiences as Zendesk's flat fields, `user_segment_id` and `user_segment_ids`, that never lie.

A client of Zendesk reads null as "everyone", so null appears only where everyone can see. Two
built-in segments stand for what the flat fields cannot say otherwise: NOBODY, and ANCESTORS for
something that is for everyone in a place that is not. Writing back what was read changes nothing,
and only an explicit null makes anything visible to everyone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework import serializers

from helpcenter.models import Article, Section
from segments.builtin import PLACEHOLDERS
from segments.models import Audience, AudienceSegment, Segment
from segments.querysets import visible_ids
from segments.ruleset import Viewer, viewer_for

from .base import IdField

NOBODY, ANCESTORS = (PLACEHOLDERS[mark][0] for mark in ("nobody", "ancestors"))
_EVERYONE: list[int | None] = [None]
ID, IDS = "user_segment_id", "user_segment_ids"


def show_audiences(things: Iterable[Any], viewer: Viewer) -> None:
    """Give each thing `user_segment_ids`, for one kind of things at a constant number of queries.

    Staff get every id; others the ids of their own segments, by one of which they see the thing.
    """
    things = list(things)
    open_places = _open_places(things)
    named = segments_of({thing.audience_id for thing in things})
    for thing in things:
        ids = _flat(thing, open_places, named)
        if not viewer.is_staff and ids not in ([NOBODY], [ANCESTORS]):
            # Never empty, which would read as "everyone".
            ids = [pk for pk in ids if pk in viewer.segments] or [ANCESTORS]
        thing.user_segment_ids = ids


def _flat(thing: Any, open_places: set[int], named: dict[int, list[int]]) -> list[int]:
    if thing.audience_id == Audience.EVERYONE:
        return [] if _place(thing) in open_places else [ANCESTORS]
    # An audience whose segments are gone by raw SQL admits nobody.
    return named.get(thing.audience_id) or [NOBODY]


def _place(thing: Any) -> int:
    """What must be open for everyone to see the thing: the section of an article, else itself."""
    return thing.section_id if isinstance(thing, Article) else thing.pk


def _open_places(things: list[Any]) -> set[int]:
    """The ids of the shelves that everyone may see, by the same rule as everything else."""
    if not things:
        return set()
    model = Section if isinstance(things[0], Article) else type(things[0])
    return set(visible_ids(model, viewer_for(AnonymousUser()), "default"))


def segments_of(audiences: set[int]) -> dict[int, list[int]]:
    """Audience id -> the ids of its segments, in one query."""
    found: dict[int, list[int]] = defaultdict(list)
    # No decision about content: it names the audiences of what the caller was found to see, and
    # `show_audiences` keeps from others than staff the ids that are not theirs.
    links = AudienceSegment.objects.filter(audience__in=audiences).order_by("segment_id")
    for audience, segment in links.values_list("audience_id", "segment_id"):
        found[audience].append(segment)
    return found


class AudienceFields(serializers.Serializer):
    """`user_segment_id` and `user_segment_ids` of something that `show_audiences` has prepared.

    After validation `validated_data["audience"]` is the audience to store, if it changes.
    """

    user_segment_id = IdField(required=False, allow_null=True)
    user_segment_ids = serializers.ListField(
        child=IdField(), required=False, max_length=1000, help_text="[] with a null id: everyone"
    )

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """With the first id beside all of them."""
        instance.user_segment_id = next(iter(instance.user_segment_ids), None)
        return super().to_representation(instance)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Turn the two fields into `audience`; leave it out where they change nothing."""
        attrs = super().validate(attrs)
        given = {name: attrs.pop(name) for name in (ID, IDS) if name in attrs}
        read = None
        if self.instance is not None:
            if not hasattr(self.instance, IDS):
                show_audiences([self.instance], viewer_for(self.context["request"].user))
            read = self.instance.user_segment_ids
        chosen = chosen_ids(given, read)
        if chosen is not None:
            attrs["audience"] = audience_of(chosen)
        return attrs


def chosen_ids(given: dict[str, Any], read: list[int] | None) -> list[int] | None:
    """The ids that the two fields mean ([]: everyone); None when they change nothing.

    `read` is what a client reads now; None for something new. ValidationError for fields that
    contradict each other: nothing becomes visible to everyone by half an instruction.
    """
    changed = dict(given)
    if read is not None:
        if IDS in changed and set(changed[IDS]) == set(read):
            del changed[IDS]
        if ID in changed and changed[ID] in (read or _EVERYONE):
            del changed[ID]
    if not changed:
        return None
    if IDS not in changed:
        return _by_id(changed[ID], given.get(IDS))
    ids = changed[IDS]
    if not ids and given.get(ID, "absent") is not None:
        _refuse(IDS, f"is empty: send {ID}: null with it to make it visible to everyone")
    if ids and ID in changed and changed[ID] not in ids:
        _refuse(ID, f"contradicts {IDS}: send one of them, or the same segments in both")
    return ids


def _by_id(pk: int | None, ids: list[int] | None) -> list[int]:
    if pk is not None:
        return [pk]
    if ids:
        _refuse(ID, f"is null while {IDS} is not empty: send [] there, or leave it out")
    return []


def audience_of(ids: list[int]) -> Audience:
    """The audience that the ids mean; ValidationError for ids that no content can be given."""
    wanted = set(ids)
    if not wanted:
        return Audience.everyone()
    if wanted == {NOBODY}:
        return Audience.nobody()
    if wanted & {NOBODY, ANCESTORS}:
        _refuse(IDS, f"{NOBODY} (nobody) stands alone, and {ANCESTORS} is only ever read")
    segments = list(Segment.objects.assignable().filter(pk__in=wanted))
    if missing := wanted - {segment.pk for segment in segments}:
        _refuse(IDS, f"there is no user segment {', '.join(map(str, sorted(missing)))}")
    return Audience.of(*segments)


def _refuse(name: str, words: str) -> None:
    raise serializers.ValidationError({name: [words]})
