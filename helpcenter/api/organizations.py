"""Organizations and who belongs to them, shaped like Zendesk's Support API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import django_filters
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import prefetch_related_objects
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import Organization, OrganizationDomain, OrganizationMembership, User
from accounts.normalisation import normalise_domain, readable

from .base import IdField, Rows, UrlField, find, signed_in, staff
from .errors import InvalidParameter
from .people import (
    CountSerializer,
    PeopleEndpoint,
    SpelledNames,
    TagNames,
    TagsEndpoint,
    UserEndpoint,
    count_of,
    leave_organizations,
    make_default,
    named_in_query,
    tags_called,
    user_records,
)


def organization_records(
    request: Any, organizations: Iterable[Organization]
) -> list[dict[str, Any]]:
    """The organizations as the API shows them; a constant number of queries."""
    rows = prepare(list(organizations))
    return [dict(OrganizationSerializer(row, context={"request": request}).data) for row in rows]


def prepare(organizations: list[Any]) -> list[Any]:
    """The organizations with their tags and domains, fetched for all at once."""
    prefetch_related_objects(organizations, "tags", "domains")
    return organizations


class DomainNames(SpelledNames):
    """E-mail domains."""

    child = serializers.CharField(max_length=253)
    spelling = staticmethod(normalise_domain)

    def to_representation(self, data: Any) -> list[str]:
        return sorted(each.domain for each in data.all())


def readable_name(name: str) -> str:
    """The name as it is stored; ValidationError for invisible or mixed characters."""
    try:
        return readable(name)
    except ModelValidationError as error:
        raise serializers.ValidationError(error.messages) from error


class OrganizationSerializer(serializers.Serializer):
    """An organization as Zendesk shows it."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("organizations/{pk}")
    name = serializers.CharField(required=False, max_length=200)
    external_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    domain_names = DomainNames(required=False, source="domains", max_length=1000)
    tags = TagNames(required=False, max_length=500)
    shared_tickets = serializers.SerializerMethodField(method_name="get_no")
    shared_comments = serializers.SerializerMethodField(method_name="get_no")
    organization_fields = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_no(self, organization: Organization) -> bool:
        """There are no tickets here."""
        return False

    def get_organization_fields(self, organization: Organization) -> dict[str, Any]:
        """There are no custom fields."""
        return {}

    def validate_name(self, name: str) -> str:
        """A name that no other organization has, however it is written."""
        name = readable_name(name)
        if self._others().filter(key=name).exists():
            raise serializers.ValidationError(f"{name} has already been taken")
        return name

    def validate_external_id(self, external_id: str | None) -> str | None:
        """Unique; nothing is said by an empty one."""
        if external_id and self._others().filter(external_id=external_id).exists():
            raise serializers.ValidationError(f"{external_id} is already being used")
        return external_id or None

    def validate_domain_names(self, names: list[str]) -> list[str]:
        """Domains that belong to no other organization."""
        others = OrganizationDomain.objects.exclude(
            organization=getattr(self.instance, "pk", None)
        ).filter(domain__in=names)
        if taken := sorted(others.values_list("domain", flat=True)):
            words = f"{', '.join(taken)} belongs to another organization"
            raise serializers.ValidationError(words)
        return names

    def _others(self) -> Any:
        return Organization.objects.exclude(pk=getattr(self.instance, "pk", None) or 0)

    def create(self, validated: dict[str, Any]) -> Organization:
        if "name" not in validated:
            raise serializers.ValidationError({"name": ["is required"]})
        organization = Organization.objects.create(name=validated["name"])
        return self.update(organization, validated)

    def update(self, organization: Any, validated: dict[str, Any]) -> Organization:
        """Store what was named; the rest stays."""
        for name in ("name", "external_id"):
            if name in validated:
                setattr(organization, name, validated[name])
        organization.save()
        if "tags" in validated:
            organization.tags.set(tags_called(validated["tags"]))
        if "domains" in validated:
            organization.domains.exclude(domain__in=validated["domains"]).delete()
            known = set(organization.domains.values_list("domain", flat=True))
            for domain in validated["domains"]:
                if domain not in known:
                    organization.domains.create(domain=domain)
        return organization


class OrganizationFilter(django_filters.FilterSet):
    """What the list of organizations can be filtered by."""

    external_id = django_filters.CharFilter()

    class Meta:
        model = Organization
        fields: list[str] = []


class OrganizationEndpoint(PeopleEndpoint):
    """Organizations: read by staff, written by admins."""

    singular, plural = "organization", "organizations"
    queryset = Organization.objects.order_by("pk")
    serializer_class = OrganizationSerializer
    filterset_class = OrganizationFilter
    allowed = dict.fromkeys(
        ("list", "retrieve", "show_many", "search", "autocomplete", "count"), staff
    )

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows)

    @extend_schema(
        request=OrganizationSerializer,
        responses={200: OrganizationSerializer, 201: OrganizationSerializer},
    )
    def create_or_update(self, request: Any, **kwargs: Any) -> Response:
        """The organization with this `external_id` or `name` changed, or a new one."""
        return self.change_or_create(self.known_by("name", "key"))

    @extend_schema(responses={200: OrganizationSerializer(many=True)})
    def show_many(self, request: Any, **kwargs: Any) -> Response:
        """The organizations with these `ids` or `external_ids`, at most 100."""
        return self.paged(named_in_query(self.get_queryset(), request.query_params))

    @extend_schema(responses={200: OrganizationSerializer(many=True)})
    def search(self, request: Any, **kwargs: Any) -> Response:
        """Organizations by `name` or `external_id`, both exact."""
        params, rows = request.query_params, self.get_queryset()
        if params.get("external_id"):
            return self.paged(rows.filter(external_id=params["external_id"]))
        if not params.get("name"):
            raise InvalidParameter("name", "Give a name or an external_id")
        return self.paged(rows.filter(name__iexact=params["name"]))

    @extend_schema(responses={200: OrganizationSerializer(many=True)})
    def autocomplete(self, request: Any, **kwargs: Any) -> Response:
        """Organizations whose name begins like `name`, of two letters at least."""
        name = request.query_params.get("name", "").strip()
        if len(name) < 2:
            raise InvalidParameter("name", "Give two letters at least")
        return self.paged(self.get_queryset().filter(name__istartswith=name))

    @extend_schema(responses=CountSerializer)
    def count(self, request: Any, **kwargs: Any) -> Response:
        """How many organizations there are."""
        return count_of(self.get_queryset())


class OrganizationTagsEndpoint(TagsEndpoint):
    """The tags of an organization, which its end users inherit."""

    queryset = Organization.objects.all()


class OrganizationUsersEndpoint(UserEndpoint):
    """The people of one organization."""

    allowed = {"list": staff}

    def get_queryset(self) -> Any:
        find(Organization.objects, self.kwargs["organization"])
        return super().get_queryset().filter(memberships__organization=self.kwargs["organization"])


class UserOrganizationsEndpoint(OrganizationEndpoint):
    """The organizations of one person."""

    allowed = {"list": staff}

    def get_queryset(self) -> Any:
        find(User.objects, self.kwargs["user"])
        return super().get_queryset().filter(memberships__user=self.kwargs["user"])


class MembershipSerializer(serializers.Serializer):
    """That a person belongs to an organization."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("organization_memberships/{pk}")
    user_id = IdField()
    organization_id = IdField()
    organization_name = serializers.CharField(read_only=True, source="organization.name")
    default = serializers.BooleanField(required=False, source="is_default")
    view_tickets = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_view_tickets(self, membership: OrganizationMembership) -> bool:
        """There are no tickets here."""
        return False

    def validate_user_id(self, pk: int) -> int:
        """Somebody who exists."""
        if not User.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no user {pk}")
        return pk

    def validate_organization_id(self, pk: int) -> int:
        """An organization that exists."""
        if not Organization.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no organization {pk}")
        return pk

    def create(self, validated: dict[str, Any]) -> OrganizationMembership:
        """A new membership by hand; the first of a person is the default one."""
        user, organization = validated["user_id"], validated["organization_id"]
        memberships = OrganizationMembership.objects.filter(user=user)
        if memberships.filter(organization=organization).exists():
            raise serializers.ValidationError({"user_id": ["is a member already"]})
        is_first = not memberships.exists()
        membership = OrganizationMembership.objects.create(
            user_id=user, organization_id=organization
        )
        if validated.get("is_default", is_first):
            make_default(membership)
        return membership


class MembershipEndpoint(PeopleEndpoint):
    """Memberships: of all people, of one person, or of one organization."""

    singular, plural = "organization_membership", "organization_memberships"
    serializer_class = MembershipSerializer
    allowed = {"list": signed_in, "retrieve": staff}
    includes = {"users": "include_users", "organizations": "include_organizations"}

    def get_queryset(self) -> Any:
        """The memberships; for others than staff their own, and none of anybody else."""
        rows = OrganizationMembership.objects.select_related("organization").order_by("pk")
        if not self.viewer.is_staff:
            if self.kwargs.get("user") != self.viewer.pk:
                raise Http404
            return rows.filter(user=self.viewer.pk)
        if "user" in self.kwargs:
            find(User.objects, self.kwargs["user"])
            rows = rows.filter(user=self.kwargs["user"])
        if "organization" in self.kwargs:
            find(Organization.objects, self.kwargs["organization"])
            rows = rows.filter(organization=self.kwargs["organization"])
        return rows

    def include_users(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The people."""
        found = User.objects.filter(pk__in={each.user_id for each in rows})
        return {"users": user_records(self.request, found)}

    def include_organizations(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The organizations."""
        found = Organization.objects.filter(pk__in={each.organization_id for each in rows})
        return {"organizations": organization_records(self.request, found)}

    def perform_destroy(self, instance: Any) -> None:
        leave_organizations(OrganizationMembership.objects.filter(pk=instance.pk))

    @extend_schema(request=None, responses={200: MembershipSerializer(many=True)})
    def make_default(self, request: Any, **kwargs: Any) -> Response:
        """Make this the person's default membership; all of theirs are the answer, as Zendesk's."""
        make_default(self.get_object())
        return self.paged(self.get_queryset())
