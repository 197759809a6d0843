"""System checks of what shows restricted content: REST views, serializers, filters and the admin.

They look where SEGMENTS["URLS"] says that every URL is classified, and nowhere else. What shows
restricted content without a filter of this app says in `who_sees` who that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register

from .checks import classes_of, walk_urls
from .conf import setting
from .models import InheritsAudience

WHO_SEES = "Or say in `who_sees` who sees what it shows, and test it."


@register(Tags.urls)
def check_rest_views(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """REST views whose URLs are "filtered" filter by viewer, and say what can be asked of them."""
    classes = setting("URLS")
    if classes is None or not apps.is_installed("rest_framework"):
        return []
    views = [
        pattern.callback
        for name, _route, pattern in walk_urls()
        if hasattr(pattern.callback, "cls") and classes_of(name, classes) == {"filtered"}
    ]
    lists = {each.cls for each in views if _lists(each)}
    return [
        message
        for view in dict.fromkeys(each.cls for each in views)
        for message in _check_rest_view(view, view in lists)
    ]


def _lists(callback: Any) -> bool:
    """Whether a URL leads to `list()`: through a view set's actions, or in a plain list view."""
    actions = getattr(callback, "actions", None)
    return hasattr(callback.cls, "list") if actions is None else "list" in actions.values()


def _check_rest_view(view: Any, lists: bool) -> Iterator[CheckMessage]:
    from .rest_framework import VisibleToViewerFilter

    backends = getattr(view, "filter_backends", [])
    if not _has(backends, VisibleToViewerFilter) and not getattr(view, "who_sees", ""):
        words = f"{view.__name__} does not filter by viewer."
        hint = f"Put VisibleToViewerFilter into its filter_backends. {WHO_SEES}"
        yield Error(words, hint=hint, obj=view, id="segments.E016")
    yield from _check_filters(view, backends)
    yield from _check_order(view, backends, lists)
    if serializer := getattr(view, "serializer_class", None):
        for path, model in _open_relations(serializer()):
            words = f"{view.__name__}: {path!r} accepts every {model.__name__}, hidden ones too."
            hint = "Use segments.rest_framework.VisibleToViewerField."
            yield Error(words, hint=hint, obj=view, id="segments.E019")


def _has(backends: Iterable[Any], wanted: type) -> bool:
    return any(isinstance(each, type) and issubclass(each, wanted) for each in backends)


def _check_filters(view: Any, backends: Iterable[Any]) -> Iterator[CheckMessage]:
    """What django-filter offers is listed: `__all__` would offer relations to hidden objects."""
    if not any(hasattr(each, "filterset_base") for each in backends):
        return
    filterset = getattr(view, "filterset_class", None)
    fields = getattr(view, "filterset_fields", None)
    if filterset is not None:
        meta = filterset._meta
        fields = "__all__" if meta.fields is None and meta.model else meta.fields or ()
        for name, each in filterset.base_filters.items():
            choices = each.extra.get("queryset")
            # A function of the request has no model.
            if _is_restricted(getattr(choices, "model", None)):
                words = f"{view.__name__}: the filter {name!r} offers hidden objects."
                hint = "Give it a function of the request that calls visible_to()."
                yield Error(words, hint=hint, obj=view, id="segments.E019")
    if fields is None or fields == "__all__":
        words = f"{view.__name__} does not list what it can be filtered by."
        hint = "Give it a filterset_class, or a list of filterset_fields."
        yield Error(words, hint=hint, obj=view, id="segments.E017")


def _check_order(view: Any, backends: Iterable[Any], lists: bool) -> Iterator[CheckMessage]:
    """Only listed fields order, and every list has an order: pages without one have gaps."""
    from rest_framework.filters import OrderingFilter

    fields = getattr(view, "ordering_fields", None)
    if _has(backends, OrderingFilter) and (fields is None or fields == "__all__"):
        words = f"{view.__name__} does not list what it can be ordered by."
        hint = "Give it a list of ordering_fields, of what it shows."
        yield Error(words, hint=hint, obj=view, id="segments.E018")
    rows = getattr(view, "queryset", None)
    if lists and rows is not None and not rows.ordered:
        words = f"{view.__name__} lists rows without an order."
        hint = "Order its queryset, or the model."
        yield Error(words, hint=hint, obj=view, id="segments.E018")


def _open_relations(serializer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, model) of the fields that accept restricted objects whoever is asking."""
    from rest_framework import serializers

    from .rest_framework import VisibleToViewerField

    serializer = getattr(serializer, "child", serializer)
    for name, field in getattr(serializer, "fields", {}).items():
        each = getattr(field, "child_relation", field)
        if isinstance(each, serializers.BaseSerializer):
            yield from _open_relations(each, f"{path}{name}.")
        model = getattr(getattr(each, "queryset", None), "model", None)
        if _is_restricted(model) and not isinstance(each, VisibleToViewerField):
            yield f"{path}{name}", model


def _is_restricted(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, InheritsAudience)


@register(Tags.admin)
def check_admin(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """In the admin, restricted objects are listed, chosen and filtered by as the viewer may see."""
    if setting("URLS") is None or not apps.is_installed("django.contrib.admin"):
        return []
    from django.contrib.admin.sites import all_sites

    return [
        message
        for site in all_sites
        for model_admin in site._registry.values()
        for message in _check_model_admin(model_admin)
    ]


def _check_model_admin(model_admin: Any) -> Iterator[CheckMessage]:
    from .admin import RestrictedAdmin, VisibleChoices

    if getattr(model_admin, "who_sees", ""):
        return
    kind = type(model_admin)
    inlines = [inline for inline in model_admin.inlines if not getattr(inline, "who_sees", "")]
    for inline in inlines:
        for name in _relations(inline.model, but=model_admin.model):
            if not issubclass(inline, VisibleChoices):
                words = f"{inline.__name__}: {name!r} offers hidden objects."
                hint = f"Inherit from segments.admin.VisibleChoices. {WHO_SEES}"
                yield Error(words, hint=hint, obj=kind, id="segments.E020")
    if isinstance(model_admin, RestrictedAdmin):
        return
    shown = [
        m.__name__ for m in (model_admin.model, *(i.model for i in inlines)) if _is_restricted(m)
    ]
    shown += _relations(model_admin.model) + _filters(model_admin)
    for name in dict.fromkeys(shown):
        words = f"{kind.__name__} shows or offers hidden objects: {name!r}."
        hint = f"Inherit from segments.admin.RestrictedAdmin. {WHO_SEES}"
        yield Error(words, hint=hint, obj=kind, id="segments.E020")


def _relations(model: Any, but: Any = None) -> list[str]:
    """The names of the fields of a form that choose restricted objects."""
    fields = [*model._meta.concrete_fields, *model._meta.many_to_many]
    return [
        field.name
        for field in fields
        if field.editable and field.related_model is not but and _is_restricted(field.related_model)
    ]


def _filters(model_admin: Any) -> list[str]:
    """The list filters by restricted objects."""
    from django.contrib.admin.utils import get_fields_from_path

    paths = [
        each[0] if isinstance(each, (tuple, list)) else each for each in model_admin.list_filter
    ]
    return [
        path
        for path in paths
        if isinstance(path, str)
        and _is_restricted(get_fields_from_path(model_admin.model, path)[-1].related_model)
    ]
