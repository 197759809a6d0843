"""System checks: a project that would not do what it says does not start."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import connections
from django.db.models import ForeignKey, Q
from django.urls import URLPattern, URLResolver, get_resolver

from . import triggers
from .attributes import attributes
from .conf import DEFAULTS, setting
from .models import Audience, InheritsAudience
from .querysets import has_audience

URL_CLASSES = ("public", "filtered", "staff", "signed-in")
SNAPSHOT = "segments.snapshot.SnapshotMiddleware"


@register("segments")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """SEGMENTS has known keys, and lookups that exist."""
    found: list[CheckMessage] = []
    given = getattr(settings, "SEGMENTS", {})
    if unknown := set(given) - set(DEFAULTS):
        found.append(
            Error(
                f"SEGMENTS has unknown keys: {', '.join(sorted(unknown))}.",
                hint=f"Known are {', '.join(DEFAULTS)}.",
                id="segments.E001",
            )
        )
    for name in ("STAFF", "ADMIN", "ACTIVE"):
        if not isinstance(setting(name), Q) or not setting(name):
            # An empty Q means everybody, which nobody means.
            found.append(
                Error(f"SEGMENTS['{name}'] is not a Q with a condition.", id="segments.E002")
            )
    try:
        for attribute in attributes().values():
            for lookup in attribute.lookups:
                lookup.steps  # noqa: B018  (raises when the path does not exist)
    except (ImproperlyConfigured, TypeError) as error:
        found.append(Error(str(error), id="segments.E003"))
    if unknown := set(setting("END_USER_ATTRIBUTES")) - set(setting("ATTRIBUTES")):
        found.append(
            Error(
                f"SEGMENTS['END_USER_ATTRIBUTES'] names none: {', '.join(sorted(unknown))}.",
                id="segments.E004",
            )
        )
    return found


@register("segments")
def check_middleware(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The snapshot begins after the session is there and before anybody is signed in."""
    order = list(settings.MIDDLEWARE)
    if SNAPSHOT not in order:
        return [
            Warning(
                f"MIDDLEWARE lacks {SNAPSHOT}: decision and content may differ in age.",
                hint="Put it between the session and the authentication middleware.",
                id="segments.W001",
            )
        ]
    place = order.index(SNAPSHOT)
    before = "django.contrib.sessions.middleware.SessionMiddleware"
    after = "django.contrib.auth.middleware.AuthenticationMiddleware"
    if before in order[place:] or after in order[:place]:
        words = f"{SNAPSHOT} is not between the session and the authentication middleware."
        return [Error(words, id="segments.E005")]
    return []


@register("segments")
def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every restricted model says correctly where its ancestors, editors and drafts are."""
    return [
        message
        for model in apps.get_models()
        if issubclass(model, InheritsAudience)
        for message in _check_model(model)
    ]


def _check_model(model: Any) -> Iterator[CheckMessage]:
    if not hasattr(model._default_manager.none(), "visible_to"):
        yield Error(
            f"{model.__name__}'s default manager has no visible_to().",
            hint="Make its queryset inherit segments.querysets.RestrictedQuerySet.",
            obj=model,
            id="segments.E006",
        )
    if not model.audience_parents and not has_audience(model):
        words = f"{model.__name__} has no audience and no audience_parents: everybody sees it."
        yield Error(words, obj=model, id="segments.E021")
    for name in model.audience_parents:
        yield from _check_parent(model, name)
    for lookup in model.audience_editors:
        if not _leads_to_audience(model, lookup):
            words = f"audience_editors: {lookup!r} is not a lookup to an audience."
            yield Error(words, obj=model, id="segments.E008")
    for name in model.audience_published:
        if name not in {field.name for field in model._meta.concrete_fields}:
            words = f"audience_published: there is no field {name!r}."
            yield Error(words, obj=model, id="segments.E009")
    if _is_own_ancestor(model):
        words = "audience_parents lead through other models back to the model itself."
        yield Error(words, obj=model, id="segments.E010")


def _check_parent(model: Any, name: str) -> Iterator[CheckMessage]:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if not isinstance(field, ForeignKey) or not issubclass(field.related_model, InheritsAudience):
        words = f"audience_parents: {name!r} is not a foreign key to a restricted model."
        yield Error(words, obj=model, id="segments.E007")


def _leads_to_audience(model: Any, lookup: str) -> bool:
    try:
        for name in lookup.split("__"):
            field = model._meta.get_field(name)
            model = field.related_model
            if not isinstance(field, ForeignKey):
                return False
    except (FieldDoesNotExist, AttributeError):
        return False
    return model is Audience and "__" in lookup


def _is_own_ancestor(model: Any) -> bool:
    seen: set[Any] = set()
    above = _parents(model) - {model}
    while above:
        seen |= above
        above = {parent for each in above for parent in _parents(each)} - seen
    return model in seen


def _parents(model: Any) -> set[Any]:
    fields = {field.name: field for field in model._meta.concrete_fields}
    found = {getattr(fields.get(name), "related_model", None) for name in model.audience_parents}
    return {parent for parent in found if parent and issubclass(parent, InheritsAudience)}


@register(Tags.database)
def check_triggers(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The triggers that renew the token and write the history are all there."""
    found: list[CheckMessage] = []
    # `migrate` asks for the checks first, and it is what puts the triggers back.
    if sys.argv[1:2] == ["migrate"]:
        return found
    for alias in databases or []:
        connection = connections[alias]
        if "segments_token" not in connection.introspection.table_names():
            continue
        if tables := triggers.missing(connection):
            found.append(
                Error(
                    f"Triggers are missing in database '{alias}' on: {', '.join(tables)}.",
                    hint="Changes would go unnoticed. Run `manage.py migrate`.",
                    id="segments.E011",
                )
            )
    return found


@register(Tags.urls)
def check_urls(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every URL has exactly one class, where SEGMENTS["URLS"] says that they shall."""
    classes = setting("URLS")
    if classes is None:
        return []
    found: list[CheckMessage] = [
        Error(
            f"SEGMENTS['URLS']: {name!r} has the class {value!r}.",
            hint=f"Use one of {', '.join(URL_CLASSES)}.",
            id="segments.E012",
        )
        for name, value in classes.items()
        if value not in URL_CLASSES
    ]
    names = {name for name, _route, _pattern in walk_urls()}
    for name in sorted(names):
        if not (matches := classes_of(name, classes)):
            words = f"The URL {name!r} is not classified: who may see what it shows?"
            hint = "Add it to SEGMENTS['URLS']."
            found.append(Error(words, hint=hint, id="segments.E013"))
        elif len(matches) > 1:
            words = f"The URL {name!r} has several classes: {', '.join(sorted(matches))}."
            found.append(Error(words, id="segments.E014"))
    for pattern in classes:
        if not any(fnmatchcase(name, pattern) for name in names):
            words = f"SEGMENTS['URLS']: no URL is called {pattern!r}."
            found.append(Error(words, id="segments.E015"))
    return found


def classes_of(name: str, classes: dict[str, str]) -> set[str]:
    """The classes that SEGMENTS["URLS"] gives a URL; an exact name goes before patterns."""
    if name in classes:
        return {classes[name]}
    return {value for pattern, value in classes.items() if fnmatchcase(name, pattern)}


def walk_urls(
    resolver: Any = None, namespace: str = "", route: str = ""
) -> Iterator[tuple[str, str, URLPattern]]:
    """(name with namespaces, route, pattern) of every URL; the route replaces a missing name."""
    for pattern in (resolver or get_resolver()).url_patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from walk_urls(pattern, inner, whole)
        else:
            yield f"{namespace}{pattern.name or whole}", whole, pattern
