"""User segments: Zendesk's flat fields as slots in the conditions, and what is beyond them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import AgentGroup, Organization, Role, User
from helpcenter.models import Article, HelpCenter, Section
from segments.impact import content_of, impact_of
from segments.models import Segment, SegmentPerson, StaleSegment, describe_uses

from .articles import ArticleEndpoint
from .base import AllowListFilter, Endpoint, IdField, Rows, UrlField, signed_in, staff
from .errors import Stale
from .people import TagNames, UserEndpoint, tags_called
from .shelves import SectionEndpoint

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
SHOWN_AT_MOST = 100
NAMES = ("name", "description")


# Conditions and flat fields -----------------------------------------------------------------------


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


# What is shown ------------------------------------------------------------------------------------


def prepare(segments: list[Any]) -> list[Any]:
    """The segments with the people they name, fetched for all at once."""
    people = defaultdict(list)
    for each in SegmentPerson.objects.filter(segment__in=segments).order_by("user_id"):
        people[each.segment_id].append(each)
    for segment in segments:
        segment.named_people = people[segment.pk]
    return segments


class PersonSerializer(serializers.Serializer):
    """Somebody whom a segment always includes or excludes, perhaps until a date."""

    user_id = IdField()
    kind = serializers.ChoiceField(choices=[kind for kind, _label in SegmentPerson.KINDS])
    until = serializers.DateTimeField(required=False, allow_null=True, default=None)


class TagsOfSlot(TagNames):
    """Tags that a condition names, in its order."""

    def to_representation(self, data: Any) -> list[str]:
        return [str(name) for name in data]


class Ids(serializers.ListField):
    """Ids, each once."""

    child = IdField()

    def to_internal_value(self, data: Any) -> list[int]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class SegmentSerializer(serializers.Serializer):
    """A user segment as Zendesk shows it, and what Zendesk cannot say."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("help_center/user_segments/{pk}")
    name = serializers.CharField(required=False, max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    user_type = serializers.CharField(required=False, max_length=100)
    tags = TagsOfSlot(required=False, max_length=1000)
    or_tags = TagsOfSlot(required=False, max_length=1000)
    organization_ids = Ids(required=False, max_length=10_000)
    group_ids = Ids(required=False, max_length=10_000)
    added_user_ids = Ids(required=False, max_length=10_000)
    excluded_user_ids = Ids(required=False, max_length=10_000)
    people = PersonSerializer(many=True, required=False)
    conditions = serializers.JSONField(required=False)
    built_in = serializers.BooleanField(read_only=True)
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The stored segment; built-ins by their names in the reader's language."""
        shown = copy.copy(instance)
        for name, values in flat_fields(instance.conditions).items():
            setattr(shown, name, values)
        for name, kind in NAMED.items():
            named = (each for each in instance.named_people if each.kind == kind)
            setattr(shown, name, [each.user_id for each in named if _is_in_force(each.until)])
        people = [
            {"user_id": each.user_id, "kind": each.kind, "until": each.until}
            for each in instance.named_people
        ]
        fields = dict(self.fields)
        record = {
            name: field.to_representation(field.get_attribute(shown))
            for name, field in fields.items()
            if name not in ("people", "built_in", "description")
        }
        record["people"] = PersonSerializer(people, many=True).data
        record["built_in"] = instance.built_in is not None
        record["description"] = instance.description
        if instance.built_in:
            record["name"] = gettext(instance.name)
        return {name: record[name] for name in fields}

    def validate_user_type(self, user_type: str) -> str:
        """One of the base types, refused in Zendesk's words."""
        accepted = [name for name, _label in Segment.USER_TYPES]
        if user_type not in accepted:
            listed = ", ".join(f"`{name}`" for name in accepted[:-1])
            raise serializers.ValidationError(
                f"value `{user_type}` invalid; must be either {listed} or `{accepted[-1]}`"
            )
        return user_type

    def validate_name(self, name: str) -> str:
        """A name that no other segment has."""
        name = " ".join(name.split())
        others = Segment.objects.exclude(pk=getattr(self.instance, "pk", None) or 0)
        if others.filter(name=name).exists():
            raise serializers.ValidationError("has already been taken")
        return name

    def validate_organization_ids(self, ids: list[int]) -> list[int]:
        """Organizations that exist, or that the stored condition names already."""
        return self._known("organization_ids", Organization, ids, "organization")

    def validate_group_ids(self, ids: list[int]) -> list[int]:
        """Groups that exist, or that the stored condition names already."""
        return self._known("group_ids", AgentGroup, ids, "group")

    def _known(self, name: str, model: Any, ids: list[int], kind: str) -> list[int]:
        known = set(model.objects.filter(pk__in=ids).values_list("pk", flat=True))
        if self.instance is not None:
            # What was read is no error to send back: a condition can name what raw SQL deleted.
            known |= set(flat_fields(self.instance.conditions)[name])
        return refuse_unknown(ids, known, kind)

    def validate_added_user_ids(self, ids: list[int]) -> list[int]:
        """People who exist."""
        return _known_people(ids)

    def validate_excluded_user_ids(self, ids: list[int]) -> list[int]:
        """People who exist."""
        return _known_people(ids)

    def validate_people(self, people: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """People who exist, each of a kind once."""
        _known_people([each["user_id"] for each in people])
        if len({(each["user_id"], each["kind"]) for each in people}) < len(people):
            raise serializers.ValidationError("name each person of a kind once")
        return people


def _known_people(ids: list[int]) -> list[int]:
    known = set(User.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return refuse_unknown(ids, known, "user")


def refuse_unknown(ids: list[int], known: set[int], kind: str) -> list[int]:
    """The ids; ValidationError names the place of each that is not known."""
    problems: Any = {
        place: [f"there is no {kind} {pk}"] for place, pk in enumerate(ids) if pk not in known
    }
    if problems:
        raise serializers.ValidationError(problems)
    return ids


# Drafts -------------------------------------------------------------------------------------------


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
            if each != kind or (pk not in wanted and not _is_in_force(until)):
                people[pk, each] = until
            elif pk in wanted:
                people[pk, each] = until if _is_in_force(until) else None
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
        return [pk for pk, until in dates.items() if _is_in_force(until)]

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


def _is_in_force(until: Any) -> bool:
    return until is None or until > timezone.now()


def _to_the_second(moment: Any) -> Any:
    return moment and moment.replace(microsecond=0)


BUILT_IN = "Built-in user segments cannot be modified"


def as_api_error(error: ModelValidationError) -> Exception:
    """What a model refused, with the fields named as the API names them."""
    if isinstance(error, StaleSegment):
        return Stale()
    fields = error.message_dict if hasattr(error, "error_dict") else {"base": error.messages}
    return serializers.ValidationError(
        {("base" if name == "__all__" else name): words for name, words in fields.items()}
    )


# Endpoints ----------------------------------------------------------------------------------------


class SegmentFilter(django_filters.FilterSet):
    """What lists of segments can be filtered by."""

    built_in = django_filters.BooleanFilter(lookup_expr="isnull", exclude=True)


class SegmentEndpoint(Endpoint):
    """Segments: all for admins, their own for agents."""

    singular, plural = "user_segment", "user_segments"
    serializer_class = SegmentSerializer
    filterset_class: Any = SegmentFilter
    filter_backends: Any = [AllowListFilter]
    allowed = {"list": staff, "applicable": staff, "retrieve": staff}
    sorts = {"id": "pk", "name": "name", "created_at": "created_at", "updated_at": "updated_at"}
    default_sort = "id"

    def get_queryset(self) -> Any:
        segments = Segment.objects.order_by("pk")
        if self.viewer.is_admin:
            return segments
        # Names of segments are for admins, and for agents where it is their own segment.
        return segments.for_user(self.request.user)

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows)

    @extend_schema(responses={200: SegmentSerializer(many=True)})
    def applicable(self, request: Any, **kwargs: Any) -> Response:
        """The segments that content can be restricted to."""
        rows = self.filter_queryset(self.get_queryset().assignable())
        return self.paged(self.in_order(rows))

    def perform_create(self, serializer: Any) -> Segment:
        data = dict(serializer.validated_data)
        data.pop("version", None)
        for name in ("user_type", "name"):
            if not data.get(name):
                raise serializers.ValidationError({name: ["is required"]})
        return self._store(Segment(), data)

    def perform_update(self, serializer: Any) -> Segment:
        return self._store(serializer.instance, dict(serializer.validated_data))

    def perform_destroy(self, instance: Segment) -> None:
        """Delete it; 400 lists what uses it."""
        if uses := instance.uses():
            words = f"The segment is in use and cannot be deleted: {describe_uses(uses)}"
            raise serializers.ValidationError({"base": [words]})
        instance.delete()

    def _store(self, segment: Segment, data: dict[str, Any]) -> Segment:
        try:
            return Draft(segment, data).store()
        except ModelValidationError as error:
            raise as_api_error(error) from error

    @extend_schema(request=SegmentSerializer, responses={200: OpenApiTypes.OBJECT})
    def impact(self, request: Any, **kwargs: Any) -> Response:
        """A dry run of the same body as for PUT: who gains, who loses, and where it is used."""
        segment = self.get_object() if "pk" in kwargs else Segment()
        serializer = self.get_serializer(
            None if segment._state.adding else segment, data=self.body(), partial=True
        )
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            found = self._impact(Draft(segment, dict(serializer.validated_data)))
            transaction.set_rollback(True)
        return Response({"impact": found})

    def _impact(self, draft: Draft) -> dict[str, Any]:
        # Tags that nobody has yet are made for the question, and undone with it.
        tags_called(draft.tags())
        segment = draft.segment
        if segment.built_in and draft.changes:
            raise serializers.ValidationError({"base": [BUILT_IN]})
        if draft.is_new and "user_type" not in draft.data:
            raise serializers.ValidationError({"user_type": ["is required"]})
        try:
            impact = impact_of(
                segment,
                user_type=draft.user_type,
                # What stays as it is stored is not looked at again, as in a PUT.
                conditions=draft.conditions if draft.changes else None,
                included=draft.in_force(SegmentPerson.INCLUDED),
                excluded=draft.in_force(SegmentPerson.EXCLUDED),
            )
        except ModelValidationError as error:
            raise as_api_error(_in_conditions(error)) from error
        articles = content_of(segment, Article).order_by("pk")
        ids = articles.values_list("pk", flat=True)
        return {
            "members_before": impact.before.count(),
            "members_after": impact.after.count(),
            "gains": _some_people(impact.gains),
            "loses": _some_people(impact.loses),
            "articles": {"count": articles.count(), "ids": list(ids[:SHOWN_AT_MOST])},
            "uses": [] if segment._state.adding else _uses(segment),
        }


def _in_conditions(error: ModelValidationError) -> ModelValidationError:
    return ModelValidationError({"conditions": error.messages})


def _some_people(people: Any) -> dict[str, Any]:
    """How many, and the first of them."""
    first = people.order_by("pk")[:SHOWN_AT_MOST]
    return {
        "count": people.count(),
        "users": list(first.values("id", "name", "email", "role")),
    }


def _uses(segment: Segment) -> list[dict[str, Any]]:
    """What names the segment, by kind."""
    return [
        {"kind": rows.model._meta.model_name, "count": rows.count(), "names": describe_uses([rows])}
        for rows in segment.uses()
    ]


class UserSegmentsOfUserEndpoint(SegmentEndpoint):
    """The segments that one person is in: the one list that Zendesk lets agents have."""

    allowed = {"list": signed_in}

    def get_queryset(self) -> Any:
        """Their segments; for an agent only those that the agent is in too."""
        pk = self.viewer.pk if self.kwargs.get("user") is None else self.kwargs["user"]
        person = User.objects.filter(pk=pk).first()
        if person is None or not (self.viewer.is_staff or pk == self.viewer.pk):
            raise Http404
        theirs = Segment.objects.for_user(person).order_by("pk")
        if self.viewer.is_admin or not self.viewer.is_staff:
            return theirs
        return theirs.for_user(self.request.user)

    def envelope(self, key: str, rows: Rows, many: bool) -> dict[str, Any]:
        """To others than staff only the ids: the names are not theirs to know."""
        if self.viewer.is_staff:
            return super().envelope(key, rows, many)
        return {key: [{"id": row.pk} for row in rows]}


class SegmentDependants:
    """What a segment restricts: for admins."""

    kwargs: dict[str, Any]

    @property
    def segment(self) -> Segment:
        """The segment; 404 when there is none."""
        segment = Segment.objects.filter(pk=self.kwargs["segment"]).first()
        if segment is None:
            raise Http404
        return segment


class SegmentSectionsEndpoint(SegmentDependants, SectionEndpoint):
    """The sections whose own audience names the segment."""

    allowed: ClassVar[Any] = {}

    def get_queryset(self) -> Any:
        return Section.objects.filter(audience__in=self.segment.audiences.all())


class SegmentArticlesEndpoint(SegmentDependants, ArticleEndpoint):
    """The articles that the segment restricts, by their own audience or by one above them."""

    allowed: ClassVar[Any] = {}

    def get_queryset(self) -> Any:
        return Article.objects.filter(pk__in=content_of(self.segment, Article).values("pk"))


class SegmentUsersEndpoint(SegmentDependants, UserEndpoint):
    """The members, agents included."""

    allowed: ClassVar[Any] = {}

    def get_queryset(self) -> Any:
        return self.segment.members().order_by("pk")


class SegmentTopicsEndpoint(SegmentDependants, Endpoint):
    """The community topics that the segment restricts: there is no community, so none."""

    queryset = HelpCenter.objects.none()
    serializer_class = serializers.Serializer

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def topics(self, request: Any, **kwargs: Any) -> Response:
        """An empty list."""
        _segment = self.segment
        return Response({"topics": [], "count": 0, "next_page": None, "previous_page": None})
