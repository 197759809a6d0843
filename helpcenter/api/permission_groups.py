"""Permission groups: which segments of staff may edit, and which may publish."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from helpcenter import permissions
from helpcenter.models import Article, PermissionGroup
from segments.models import Audience, Segment

from .audiences import segments_of
from .base import AllowListFilter, Endpoint, Rows, UrlField, staff
from .user_segments import Ids, refuse_unknown

BUILT_IN = "The built-in permission group cannot be changed"


class PermissionGroupSerializer(serializers.Serializer):
    """A permission group. An empty list is nobody but admins."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("guide/permission_groups/{pk}")
    name = serializers.CharField(required=False, max_length=200)
    edit = Ids(required=False, max_length=1000, source="edit_ids")
    publish = Ids(required=False, max_length=1000, source="publish_ids")
    built_in = serializers.BooleanField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def validate_name(self, name: str) -> str:
        """A name that no other group has."""
        others = PermissionGroup.objects.exclude(pk=getattr(self.instance, "pk", None) or 0)
        if others.filter(name=name).exists():
            raise serializers.ValidationError("has already been taken")
        return name

    def validate_edit(self, ids: list[int]) -> Audience:
        """The members of any of these segments."""
        return _audience(ids)

    def validate_publish(self, ids: list[int]) -> Audience:
        """The members of any of these segments."""
        return _audience(ids)


def _audience(ids: list[int]) -> Audience:
    if not ids:
        return Audience.nobody()
    segments = list(Segment.objects.assignable().filter(pk__in=ids))
    refuse_unknown(ids, {segment.pk for segment in segments}, "user segment")
    if any(segment.user_type == Segment.END_USERS for segment in segments):
        raise serializers.ValidationError("only staff edit and publish: use segments of staff")
    return Audience.of(*segments)


class PermissionGroupEndpoint(Endpoint):
    """Permission groups: all for admins; for other staff those that let them edit."""

    singular, plural = "permission_group", "permission_groups"
    serializer_class = PermissionGroupSerializer
    filter_backends: Any = [AllowListFilter]
    who_sees = "admins; other staff those that let them edit"
    allowed = {"list": staff, "retrieve": staff}

    def get_queryset(self) -> Any:
        return permissions.permission_groups_for(self.request.user).order_by("pk")

    def prepare(self, rows: Rows) -> Rows:
        """The groups with the ids of their segments; to others than admins only their own."""
        named = segments_of({pk for row in rows for pk in (row.edit_id, row.publish_id)})
        for row in rows:
            row.edit_ids, row.publish_ids = (
                [
                    pk
                    for pk in named.get(audience, [])
                    if self.viewer.is_admin or pk in self.viewer.segments
                ]
                for audience in (row.edit_id, row.publish_id)
            )
        return rows

    def body(self, key: str | None = None) -> dict[str, Any]:
        """The body; Zendesk's own example of PUT has it under `user_segment`."""
        data = self.request.data
        if isinstance(data, dict) and "user_segment" in data and self.singular not in data:
            return super().body("user_segment")
        return super().body(key)

    def perform_create(self, serializer: Any) -> PermissionGroup:
        if "name" not in serializer.validated_data:
            raise serializers.ValidationError({"name": ["is required"]})
        return self._store(PermissionGroup(), serializer.validated_data)

    def perform_update(self, serializer: Any) -> PermissionGroup:
        group: PermissionGroup = serializer.instance
        if group.built_in:
            raise serializers.ValidationError({"base": [BUILT_IN]})
        return self._store(group, serializer.validated_data)

    def _store(self, group: PermissionGroup, data: Any) -> PermissionGroup:
        for field, name in (("name", "name"), ("edit", "edit_ids"), ("publish", "publish_ids")):
            if name in data:
                setattr(group, field, data[name])
        group.save()
        return group

    def perform_destroy(self, instance: PermissionGroup) -> None:
        """Delete it; 400 while articles are in its care."""
        if instance.built_in:
            raise serializers.ValidationError({"base": [BUILT_IN]})
        # The base manager: archived and hidden articles keep their group too.
        count = Article._base_manager.filter(permission_group=instance).count()
        if count:
            raise serializers.ValidationError({"base": [f"{count} articles are in its care"]})
        instance.delete()
