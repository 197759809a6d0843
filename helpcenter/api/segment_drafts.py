"""Zendesk's flat fields as slots in a segment's conditions, and what a body makes of a segment."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework import serializers

from accounts.models import Role
from segments.models import Segment, SegmentPerson

from .errors import Stale
from .people import tags_called

# Flat field -> the condition that it stands for: the first of this attribute and operator.
SLOTS = {
    "tags": ("tag", "all"),
    "or_tags": ("tag", "any"),
    "organization_ids": ("organization", "any"),
    "group_ids": ("group", "any"),
}
# Flat field -> how it names people.
NAMED = {
    "added_user_ids": SegmentPerson.INCLUDED,
    "excluded_user_ids": SegmentPerson.EXCLUDED,
}
STAFF_ROLES = [Role.LIGHT_AGENT, Role.AGENT, Role.ADMIN]
ROLES_OF_TYPE = {
    Segment.SIGNED_IN_USERS: [Role.END_USER, *STAFF_ROLES],
    Segment.STAFF: STAFF_ROLES,
    Segment.END_USERS: [Role.END_USER],
}
NAMES = ("name", "description")


def flat_fields(conditions: Any) -> dict[str, list[Any]]:
    """What the flat fields say of stored conditions; the rest is in `conditions` only."""
    places = {name: _place(conditions, *slot) for name, slot in SLOTS.items()}
    return {
        name: [] if place is None else list(conditions[place]["values"])
        for name, place in places.items()
    }


def _place(conditions: Any, attribute: str, operator: str) -> int | None:
    for place, entry in enumerate(conditions if isinstance(conditions, list) else []):
        if not isinstance(entry, dict) or not isinstance(entry.get("values"), list):
            continue
        # Raw SQL can store anything; what the flat fields cannot say they leave out.
        wanted = str if attribute == "tag" else int
        sound = {type(value) for value in entry["values"]} <= {wanted}
        if sound and (entry.get("attribute"), entry.get("operator")) == (attribute, operator):
            return place
    return None


def with_flat_fields(conditions: list[Any], given: Mapping[str, list[Any]]) -> list[Any]:
    """The conditions with the slots that differ from what they say now; all others stay."""
    found = copy.deepcopy(conditions)
    said = flat_fields(conditions)
    emptied = []
    for name, values in given.items():
        if set(values) == set(said[name]):
            continue
        attribute, operator = SLOTS[name]
        place = _place(found, attribute, operator)
        if not values:
            emptied.append(place)
        elif place is None:
            found.append({"attribute": attribute, "operator": operator, "values": values})
        else:
            found[place]["values"] = values
    return [entry for place, entry in enumerate(found) if place not in emptied]


class Draft:
    """What a body would make of a segment; `segment` is a new one or the stored one."""

    def __init__(self, segment: Segment, data: dict[str, Any]) -> None:
        self.segment, self.data = segment, data
        self.is_new = segment._state.adding
        self.user_type = data.get("user_type", segment.user_type)
        flat = {name: data[name] for name in SLOTS if name in data}
        self.conditions = with_flat_fields(self._conditions(flat), flat)
        stored = [] if self.is_new else list(segment.people.all())
        self.stored_people = {(each.user_id, each.kind): each.until for each in stored}
        self.people = dict(self.stored_people)
        self._name_people()
        if self.is_new and not self.conditions and not self._includes_somebody():
            self._mean_the_whole_type()

    def _conditions(self, flat: dict[str, Any]) -> list[Any]:
        """The list that flat fields change: the stored one, or the one in the body."""
        stored = self.segment.conditions if isinstance(self.segment.conditions, list) else []
        if self.data.get("conditions", stored) == stored:
            return stored
        given = self.data["conditions"]
        if not isinstance(given, list):
            raise serializers.ValidationError({"conditions": ["must be a list"]})
        said, before = flat_fields(given), flat_fields(stored)
        for name, values in flat.items():
            # A client that sends back what it read may have changed either of the two.
            if set(values) not in (set(said[name]), set(before[name])):
                words = f"contradicts conditions, which say {said[name]}"
                raise serializers.ValidationError({name: [words]})
            flat[name] = said[name]
        return given

    def _name_people(self) -> None:
        given = self.data.get("people")
        if given is not None:
            dates = {(each["user_id"], each["kind"]): each["until"] for each in given}
            shown = {key: _to_the_second(until) for key, until in self.people.items()}
            if dates != shown:
                # A date that was read and sent back has lost its fraction of a second.
                self.people = {
                    key: self.people[key] if shown.get(key, 0) == until else until
                    for key, until in dates.items()
                }
                return
        for name, kind in NAMED.items():
            if name in self.data:
                self._name_only(set(self.data[name]), kind)

    def _name_only(self, wanted: set[int], kind: str) -> None:
        """Name these and nobody else in one way; who stays named keeps the end date.

        Whose date has come is not in the flat fields, so leaving them out there means nothing.
        """
        people = {}
        for (pk, each), until in self.people.items():
            if each != kind or (pk not in wanted and not is_in_force(until)):
                people[pk, each] = until
            elif pk in wanted:
                people[pk, each] = until if is_in_force(until) else None
        self.people = {**dict.fromkeys((pk, kind) for pk in wanted), **people}

    def _includes_somebody(self) -> bool:
        return any(kind == SegmentPerson.INCLUDED for _pk, kind in self.people)

    def _mean_the_whole_type(self) -> None:
        # Zendesk means everybody of the type; here nothing is ever inferred from something missing.
        if "conditions" not in self.data:
            roles = [str(role) for role in ROLES_OF_TYPE[self.user_type]]
            self.conditions = [{"attribute": "role", "operator": "any", "values": roles}]

    def in_force(self, kind: str) -> list[int]:
        """The people named in one way whose end date, if any, has not come."""
        dates = {pk: until for (pk, each), until in self.people.items() if each == kind}
        return [pk for pk, until in dates.items() if is_in_force(until)]

    def tags(self) -> list[str]:
        """The tags that the body newly names; a deleted one does not come back by being read."""
        said = flat_fields(self.segment.conditions)
        return [
            tag
            for name in ("tags", "or_tags")
            for tag in self.data.get(name, [])
            if tag not in said[name]
        ]

    @property
    def changes(self) -> bool:
        """Would storing change who is in the segment?"""
        rule = (self.segment.user_type, self.segment.conditions)
        return (self.user_type, self.conditions) != rule or self.people != self.stored_people

    def store(self) -> Segment:
        """Store what differs; ValidationError or StaleSegment, and nothing is written then."""
        segment = self.segment
        named = {name: self.data.get(name, getattr(segment, name)) for name in NAMES}
        is_new_name = any(getattr(segment, name) != value for name, value in named.items())
        with transaction.atomic():
            tags_called(self.tags())
            if self.is_new or self.changes or is_new_name:
                segment.user_type, segment.conditions = self.user_type, self.conditions
                for name, value in named.items():
                    setattr(segment, name, value)
                segment.version = self.data.get("version", segment.version)
                # Also where only people change: it is what a second editor is told by.
                segment.save()
            elif self.data.get("version", segment.version) != segment.version:
                raise Stale()
            self._store_people()
        return segment

    def _store_people(self) -> None:
        stored = {(each.user_id, each.kind): each for each in self.segment.people.all()}
        gone = [each.pk for key, each in stored.items() if key not in self.people]
        self.segment.people.filter(pk__in=gone).delete()
        changed = [
            each
            for key, each in stored.items()
            if key in self.people and each.until != self.people[key]
        ]
        for each in changed:
            each.until = self.people[each.user_id, each.kind]
        SegmentPerson.objects.bulk_update(changed, ["until"], batch_size=1000)
        SegmentPerson.objects.bulk_create(
            SegmentPerson(segment=self.segment, user_id=pk, kind=kind, until=until)
            for (pk, kind), until in self.people.items()
            if (pk, kind) not in stored
        )


def is_in_force(until: Any) -> bool:
    """Has the end date, if any, not come?"""
    return until is None or until > timezone.now()


def _to_the_second(moment: Any) -> Any:
    """The moment as the API shows it."""
    return moment and moment.replace(microsecond=0)
