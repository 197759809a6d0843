"""For Django's class-based views."""

from __future__ import annotations

from typing import Any


class VisibleToViewerMixin:
    """Lists and details of what the visitor may see; hidden objects answer 404, as missing."""

    request: Any

    def get_queryset(self) -> Any:
        """The view's own queryset, without what the visitor may not see."""
        return super().get_queryset().visible_to(self.request.user)  # type: ignore[misc]
