"""User segments: Zendesk's flat fields as slots in the conditions, and what is beyond them."""

from __future__ import annotations

import copy
from collections import defaultdict
from functools import cached_property
from typing import Any, ClassVar

import django_filters
from django.db import transaction
from django.http import Http404
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import AgentGroup, Organization, User
from helpcenter.models import Article, HelpCenter, Section
from segments.impact import content_of, impact_of
from segments.models import Segment, SegmentPerson, describe_uses

from .articles import ArticleEndpoint
from .base import AllowListFilter, Endpoint, IdField, Rows, UrlField, signed_in, staff
from .people import TagNames, UserEndpoint, tags_called
from .segment_drafts import NAMED, Draft, flat_fields, is_in_force
from .shelves import SectionEndpoint

SHOWN_AT_MOST = 100


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
            setattr(shown, name, [each.user_id for each in named if is_in_force(each.until)])
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
    who_sees = "admins; other staff their own"
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
        return Draft(Segment(), data).store()

    def perform_update(self, serializer: Any) -> Segment:
        return Draft(serializer.instance, dict(serializer.validated_data)).store()

    def perform_destroy(self, instance: Segment) -> None:
        """Delete it; 400 lists what uses it."""
        if uses := instance.uses():
            words = f"The segment is in use and cannot be deleted: {describe_uses(uses)}"
            raise serializers.ValidationError({"base": [words]})
        instance.delete()

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
        if draft.is_new and "user_type" not in draft.data:
            raise serializers.ValidationError({"user_type": ["is required"]})
        impact = impact_of(
            segment,
            user_type=draft.user_type,
            # What stays as it is stored is not looked at again, as in a PUT.
            conditions=draft.conditions if draft.changes else None,
            included=draft.in_force(SegmentPerson.INCLUDED),
            excluded=draft.in_force(SegmentPerson.EXCLUDED),
        )
        articles = content_of(segment, Article).order_by("pk")
        ids = articles.values_list("pk", flat=True)
        return {
            "members_before": impact.before.count(),
            "members_after": impact.after.count(),
            "gains": _some_people(impact.gains),
            "loses": _some_people(impact.loses),
            "articles": {"count": articles.count(), "ids": list(ids[:SHOWN_AT_MOST])},
            "uses": [_use(rows) for rows in impact.uses],
        }


def _some_people(people: Any) -> dict[str, Any]:
    """How many, and the first of them."""
    first = people.order_by("pk")[:SHOWN_AT_MOST]
    return {
        "count": people.count(),
        "users": list(first.values("id", "name", "email", "role")),
    }


def _use(rows: Any) -> dict[str, Any]:
    """What of one kind names the segment."""
    kind = rows.model._meta.model_name
    return {"kind": kind, "count": rows.count(), "names": describe_uses([rows])}


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

    @cached_property
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
        # `visible_to` decides; of what it leaves, those are wanted that name the segment.
        named = self.segment.audiences.all()
        return Section.objects.visible_to(self.request.user).filter(audience__in=named)


class SegmentArticlesEndpoint(SegmentDependants, ArticleEndpoint):
    """The articles that the segment restricts, by their own audience or by one above them."""

    allowed: ClassVar[Any] = {}

    def get_queryset(self) -> Any:
        articles = Article.objects.visible_to(self.request.user)
        return articles.filter(pk__in=content_of(self.segment, Article).values("pk"))


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
