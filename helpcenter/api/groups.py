"""Groups of agents and who is in them, shaped like Zendesk's Support API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import STAFF_ROLES, AgentGroup, User

from .base import IdField, Rows, UrlField, find, staff
from .organizations import readable_name
from .people import (
    GROUP_LINKS,
    CountSerializer,
    PeopleEndpoint,
    UserEndpoint,
    count_of,
    user_records,
)


def group_records(request: Any, groups: Iterable[AgentGroup]) -> list[dict[str, Any]]:
    """The groups as the API shows them."""
    return [dict(GroupSerializer(each, context={"request": request}).data) for each in groups]


class GroupSerializer(serializers.Serializer):
    """A group of agents as Zendesk shows it."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("groups/{pk}")
    name = serializers.CharField(required=False, max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    default = serializers.SerializerMethodField(method_name="get_no")
    deleted = serializers.SerializerMethodField(method_name="get_no")
    is_public = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_no(self, group: AgentGroup) -> bool:
        """No group is the default of the account, and deleted ones are gone."""
        return False

    def get_is_public(self, group: AgentGroup) -> bool:
        """There are no private groups here."""
        return True

    def validate_name(self, name: str) -> str:
        """A name that no other group has, however it is written."""
        name = readable_name(name)
        others = AgentGroup.objects.exclude(pk=getattr(self.instance, "pk", None) or 0)
        if others.filter(key=name).exists():
            raise serializers.ValidationError(f"{name} has already been taken")
        return name

    def create(self, validated: dict[str, Any]) -> AgentGroup:
        if "name" not in validated:
            raise serializers.ValidationError({"name": ["is required"]})
        return AgentGroup.objects.create(**validated)

    def update(self, group: Any, validated: dict[str, Any]) -> AgentGroup:
        """Store what was named; the rest stays."""
        for name, value in validated.items():
            setattr(group, name, value)
        group.save()
        return group


class GroupEndpoint(PeopleEndpoint):
    """Groups: read by staff, written by admins."""

    singular, plural = "group", "groups"
    queryset = AgentGroup.objects.order_by("pk")
    serializer_class = GroupSerializer
    allowed = dict.fromkeys(("list", "retrieve", "assignable", "count"), staff)

    @extend_schema(responses={200: GroupSerializer(many=True)})
    def assignable(self, request: Any, **kwargs: Any) -> Response:
        """The groups that agents can be put into: all of them."""
        return self.paged(self.get_queryset())

    @extend_schema(responses=CountSerializer)
    def count(self, request: Any, **kwargs: Any) -> Response:
        """How many groups there are."""
        return count_of(self.get_queryset())


class GroupUsersEndpoint(UserEndpoint):
    """The agents of one group."""

    allowed = {"list": staff}

    def get_queryset(self) -> Any:
        find(AgentGroup.objects, self.kwargs["group"])
        return super().get_queryset().filter(agent_groups=self.kwargs["group"])


class UserGroupsEndpoint(GroupEndpoint):
    """The groups of one agent."""

    allowed = {"list": staff}

    def get_queryset(self) -> Any:
        find(User.objects, self.kwargs["user"])
        return super().get_queryset().filter(agents=self.kwargs["user"])


class GroupMembershipSerializer(serializers.Serializer):
    """That an agent is in a group. `default` is the group that the agent joined first."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("group_memberships/{pk}")
    user_id = IdField()
    group_id = IdField(source="agentgroup_id")
    default = serializers.BooleanField(read_only=True)
    created_at = serializers.SerializerMethodField(method_name="get_nothing")
    updated_at = serializers.SerializerMethodField(method_name="get_nothing")

    @extend_schema_field({"type": ["string", "null"]})
    def get_nothing(self, membership: Any) -> None:
        """When somebody joined is in the history, not in the membership."""

    def validate_user_id(self, pk: int) -> int:
        """An agent: nobody else can be in groups."""
        if not User.objects.filter(pk=pk, role__in=STAFF_ROLES, is_active=True).exists():
            raise serializers.ValidationError(f"there is no agent {pk}")
        return pk

    def validate_group_id(self, pk: int) -> int:
        """A group that exists."""
        if not AgentGroup.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no group {pk}")
        return pk

    def create(self, validated: dict[str, Any]) -> Any:
        if GROUP_LINKS.objects.filter(**validated).exists():
            raise serializers.ValidationError({"user_id": ["is in the group already"]})
        return GROUP_LINKS.objects.create(**validated)


class GroupMembershipEndpoint(PeopleEndpoint):
    """Memberships: of all agents, of one agent, or of one group."""

    singular, plural = "group_membership", "group_memberships"
    serializer_class = GroupMembershipSerializer
    allowed = dict.fromkeys(("list", "retrieve", "assignable"), staff)
    includes = {"users": "include_users", "groups": "include_groups"}

    def get_queryset(self) -> Any:
        rows = GROUP_LINKS.objects.order_by("pk")
        for name, model, field in (("user", User, "user"), ("group", AgentGroup, "agentgroup")):
            if name in self.kwargs:
                find(model.objects, self.kwargs[name])
                rows = rows.filter(**{field: self.kwargs[name]})
        return rows

    def prepare(self, rows: Rows) -> Rows:
        earlier = GROUP_LINKS.objects.filter(user=OuterRef("user"), pk__lt=OuterRef("pk"))
        first = GROUP_LINKS.objects.filter(pk__in=[row.pk for row in rows])
        defaults = set(first.exclude(Exists(earlier)).values_list("pk", flat=True))
        for row in rows:
            row.default = row.pk in defaults
        return rows

    def include_users(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The agents."""
        found = User.objects.filter(pk__in={each.user_id for each in rows})
        return {"users": user_records(self.request, found)}

    def include_groups(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The groups."""
        found = AgentGroup.objects.filter(pk__in={each.agentgroup_id for each in rows})
        return {"groups": group_records(self.request, found)}

    @extend_schema(responses={200: GroupMembershipSerializer(many=True)})
    def assignable(self, request: Any, **kwargs: Any) -> Response:
        """The memberships of agents who can be assigned something: all of them."""
        return self.paged(self.get_queryset())
