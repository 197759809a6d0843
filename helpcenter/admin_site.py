"""The admin site: nobody learns there what exists of a kind that is not in their menu."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase


class HelpCenterAdminSite(AdminSite):
    """Django's own, but the permission comes before the object.

    Django looks for the object first: to staff without the permission it answers 403 for one that
    is there, and leads away from one that is not.
    """

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """The view, for staff with any business in the model that it belongs to."""
        inner = super().admin_view(view, cacheable)
        model_admin = getattr(view, "__self__", None)
        if not isinstance(model_admin, ModelAdmin):
            return inner

        @wraps(inner)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.has_permission(request) and not model_admin.has_module_permission(request):
                raise PermissionDenied
            return inner(request, *args, **kwargs)

        return page
