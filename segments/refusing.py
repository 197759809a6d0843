"""Pages of the admin that say why something is refused."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models.deletion import ProtectedError
from django.http import HttpRequest, HttpResponseRedirect

from . import protection


class RefusesGracefully(admin.ModelAdmin):
    """Shows why something may not be deleted or renamed, instead of failing."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """As usual, and what conditions name is protected."""
        listed, counts, missing, protected = super().get_deleted_objects(objs, request)
        return listed, counts, missing, [*protected, *protection.refusals(objs)]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """As usual, but permission comes before existence: else the answer would tell of it."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; a refusal becomes a message and nothing is saved."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except ProtectedError as error:
            messages.error(request, error.args[0])
            return HttpResponseRedirect(request.get_full_path())
