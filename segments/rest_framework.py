"""For Django REST framework."""

from __future__ import annotations

from typing import Any

from rest_framework.filters import BaseFilterBackend
from rest_framework.relations import PrimaryKeyRelatedField


class VisibleToViewerFilter(BaseFilterBackend):
    """Lists and details of what the caller may see; hidden objects answer 404, as missing ones.

    Extra actions and nested serializers do not pass through filter backends: they must call
    `visible_to` themselves.
    """

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """The queryset without what the caller may not see."""
        return queryset.visible_to(request.user)


class VisibleToViewerField(PrimaryKeyRelatedField):
    """Accepts what the caller may see; a hidden object is refused like one that is missing."""

    def get_queryset(self) -> Any:
        """The choices without what the caller may not see."""
        rows: Any = super().get_queryset()
        return rows.visible_to(self.context["request"].user)
