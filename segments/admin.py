"""For Django's admin: content obeys its viewer there too, and segments can be managed.

What manages segments is in segment_admin.py; Django finds it from here.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import NestedObjects, get_fields_from_path
from django.contrib.admin.widgets import ForeignKeyRawIdWidget
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from .asking_first import AsksFirst as AsksFirst
from .asking_first import ConcernsMany as ConcernsMany
from .audience_admin import AudienceFilter as AudienceFilter
from .audience_admin import AudiencePicker as AudiencePicker
from .audience_admin import ChangesAudiences, SeenByFilter
from .audience_admin import is_admin as _is_admin
from .inspection import ExplainsAccess
from .inspection import PersonAccess as PersonAccess
from .models import Audience, InheritsAudience, Segment
from .refusing import RefusesGracefully
from .segment_admin import SegmentAdmin as SegmentAdmin

# Filters that name segments or people.
FOR_ADMINS = (AudienceFilter, SeenByFilter)


class VisibleRelatedFilter(admin.RelatedFieldListFilter):
    """Offers only related objects that the viewer may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        manager: Any = field.related_model._default_manager
        visible = manager.visible_to(request.user)
        if hasattr(visible, "titled"):
            # Otherwise each name would be a query.
            visible = visible.titled()
        return [(row.pk, str(row)) for row in visible]


class VisibleRawIdWidget(ForeignKeyRawIdWidget):
    """Names beside the number only what may be chosen; Django's own names whatever was posted."""

    visible: Any = None

    def label_and_url_for_value(self, value: Any) -> tuple[str, str]:
        """The name and address of the object, both empty when the viewer may not see it."""
        try:
            seen = self.visible.filter(**{self.rel.get_related_field().name: value}).exists()
        except (ValueError, OverflowError, ValidationError):
            seen = False
        return super().label_and_url_for_value(value) if seen else ("", "")


class VisibleChoices:
    """For inlines and forms of the admin: related objects are chosen among the visible ones."""

    raw_id_fields: Any
    admin_site: Any

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only visible objects can be chosen, and posted."""
        self._limit(db_field, request, kwargs)
        if "queryset" in kwargs and db_field.name in self.raw_id_fields:
            widget = VisibleRawIdWidget(db_field.remote_field, self.admin_site)
            widget.visible = kwargs["queryset"]
            kwargs.setdefault("widget", widget)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only visible objects can be chosen, and posted."""
        self._limit(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _limit(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        related = db_field.remote_field.model
        choices = kwargs.get("queryset", related._default_manager.all())
        # Whatever knows who may see it, not only what has an audience itself.
        if hasattr(choices, "visible_to"):
            kwargs["queryset"] = choices.visible_to(request.user)


class RestrictedAdmin(VisibleChoices, RefusesGracefully, ExplainsAccess, ChangesAudiences):
    """Lists, shows, deletes and relates only what the viewer may see."""

    def get_queryset(self, request: HttpRequest) -> Any:
        """What this staff member may see: the list, the form, the history, actions and choices."""
        rows: Any = super().get_queryset(request)
        return rows.visible_to(request.user)

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        """Inlines show only what the viewer may see, too."""
        kwargs = super().get_formset_kwargs(request, obj, inline, prefix)
        if issubclass(inline.model, InheritsAudience):
            kwargs["queryset"] = kwargs["queryset"].visible_to(request.user)
        return kwargs

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Filters by a restricted model offer only what the viewer may see of it.

        Those by audiences or segments are for admins: they would list every name.
        """
        found: list[Any] = []
        given: Any = super().get_list_filter(request)
        for each in given:
            related = self._related_by(each)
            if (related in (Audience, Segment) or each in FOR_ADMINS) and not _is_admin(request):
                continue
            if related is not None and issubclass(related, InheritsAudience):
                each = (each[0] if isinstance(each, tuple) else each, VisibleRelatedFilter)
            found.append(each)
        return found

    def _related_by(self, list_filter: Any) -> Any:
        """The model whose rows a list filter offers; None for other kinds of filters."""
        path, kind = list_filter if isinstance(list_filter, tuple) else (list_filter, None)
        offers_rows = kind in (None, admin.RelatedFieldListFilter, admin.RelatedOnlyFieldListFilter)
        if not isinstance(path, str) or not offers_rows:
            return None
        return get_fields_from_path(self.model, path)[-1].related_model

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """As usual, but nothing hidden is named, and nothing hidden goes along."""
        if _takes_hidden_along(objs, request.user):
            return [], {}, set(), [_("Something in it is outside what you may see.")]
        return super().get_deleted_objects(objs, request)


def _takes_hidden_along(objs: Any, user: Any) -> bool:
    """Would deleting these delete anything that the user cannot see?"""
    found = NestedObjects(using="default", origin=objs)
    found.collect(objs)
    # All of them are here: it loads even what Django could delete without looking at it.
    groups: dict[Any, set[Any]] = found.model_objs
    return any(
        model._default_manager.visible_to(user).filter(pk__in=[row.pk for row in rows]).count()
        < len(rows)
        for model, rows in groups.items()
        if issubclass(model, InheritsAudience)
    )
