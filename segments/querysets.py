"""`visible_to`: the rule as a filter. The one place where content and viewers meet."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.models import BooleanField, F, Func, Q

from .builtin import PLACEHOLDERS

if TYPE_CHECKING:
    from .ruleset import Viewer


class Among(Func):
    """`field` is one of the ids. Unlike `__in`, one parameter at most, however many ids there are.

    Parameter lists end at 32,766 on SQLite and 65,535 on PostgreSQL, and `ANY` of a text is parsed
    twice as fast there as one of a list. SQLite plans a sub-select in IN badly, so integers, which
    can do no harm, are written into the statement.

    `may_lead` says that starting from the field is a good plan for reading everything.
    """

    output_field = BooleanField()
    conditional = True

    def __init__(
        self, field: str, ids: Collection[Any], may_lead: bool = False, **extra: Any
    ) -> None:
        self.ids = tuple(ids)
        self.may_lead = may_lead
        super().__init__(F(field), **extra)

    @property
    def identity(self) -> Any:
        """Equal to itself only: comparing ten thousand ids would cost more than the query."""
        return id(self)

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        if not self.ids:
            raise EmptyResultSet
        column, params = compiler.compile(self.source_expressions[0])
        field = self.source_expressions[0].output_field
        are_integers = set(map(type, self.ids)) == {int}
        if connection.vendor == "postgresql":
            if are_integers:
                return f"{column} = ANY(%s::bigint[])", [*params, f"{{{_joined(self.ids)}}}"]
            pks = [field.get_db_prep_value(pk, connection) for pk in self.ids]
            return f"{column} = ANY(%s)", [*params, pks]
        if are_integers:
            # Without the plus SQLite, which seldom has statistics, tries every audience in every
            # section (560 ms against 2), or finds and sorts everything for the sake of one page.
            plus = "" if self.may_lead and not compiler.query.is_sliced else "+"
            return f"{plus}{column} IN ({_joined(self.ids)})", params
        pks = [field.get_db_prep_value(pk, connection) for pk in self.ids]
        return f"{column} IN (SELECT value FROM json_each(%s))", [*params, json.dumps(pks)]


def _joined(ids: Iterable[int]) -> str:
    return ",".join(map(str, ids))


class RestrictedQuerySet(models.QuerySet[Any]):
    """Content that is shown to some people only."""

    def visible_to(self, user: Any) -> Self:
        """The objects that `user` may see, now.

        `user` is a user, `AnonymousUser()` or a `Viewer`. Whoever calls says who is looking:
        None is a TypeError. The rules are resolved here, so evaluate in the same snapshot.
        """
        from .ruleset import viewer_for

        viewer = viewer_for(user, self.db)
        if viewer.is_admin:
            return self.all()
        return self.filter(admitted(self.model, viewer, self.db))


def admitted(model: Any, viewer: Viewer, using: str, prefix: str = "") -> Q:
    """What of a model a viewer may see, as a Q; `prefix` leads from the filtered model to it."""
    seen = _audiences_admit(model, viewer, using, prefix)
    seen &= Q(**{prefix + name: value for name, value in model.audience_published.items()})
    return seen | _edited_by(model, viewer, using, prefix)


def _audiences_admit(model: Any, viewer: Viewer, using: str, prefix: str) -> Q:
    """The own audience and every ancestor's admit the viewer."""
    if parent_in_itself(model):
        return Q(Among(f"{prefix}pk", visible_ids(model, viewer, using)))
    return _own_audience(model, viewer, prefix) & _outer_parents(model, viewer, using, prefix)


def _own_audience(model: Any, viewer: Viewer, prefix: str) -> Q:
    if not has_audience(model):
        return ~Q(pk__in=[])
    may_lead = not prefix and not model.audience_passes_ids
    return Q(Among(f"{prefix}audience_id", sorted(viewer.audiences), may_lead))


def _outer_parents(model: Any, viewer: Viewer, using: str, prefix: str) -> Q:
    """Every parent of another model is visible, or there is none."""
    seen = ~Q(pk__in=[])
    for name in model.audience_parents:
        field = model._meta.get_field(name)
        parent = field.related_model
        if parent is model:
            continue
        if parent.audience_passes_ids:
            visible = Q(Among(f"{prefix}{field.attname}", visible_ids(parent, viewer, using)))
        else:
            visible = admitted(parent, viewer, using, f"{prefix}{name}__")
        if field.null:
            visible |= Q(**{f"{prefix}{field.attname}__isnull": True})
        seen &= visible
    return seen


def _edited_by(model: Any, viewer: Viewer, using: str, prefix: str) -> Q:
    """Staff who may edit or publish see the object. "Everyone" names no editor."""
    edited = Q(pk__in=[])
    if not viewer.is_staff:
        return edited
    for lookup in model.audience_editors:
        path, _, name = lookup.rpartition("__")
        granted = editable_ids(_related(model, path), name, viewer, using)
        edited |= Q(Among(f"{prefix}{path}_id", granted))
    return edited


def _related(model: Any, path: str) -> Any:
    for name in path.split("__"):
        model = model._meta.get_field(name).related_model
    return model


def has_audience(model: Any) -> bool:
    """True for content with an audience of its own."""
    from .models import Restricted

    return issubclass(model, Restricted)


def parent_in_itself(model: Any) -> str | None:
    """The foreign key by which a model nests in itself."""
    for name in model.audience_parents:
        if model._meta.get_field(name).related_model is model:
            return str(name)
    return None


def visible_ids(model: Any, viewer: Viewer, using: str) -> list[Any]:
    """The ids on one level (sections, …) whose audience and ancestors admit the viewer.

    One query, remembered for the rest of a read-only request. Management rights do not count here:
    they show an article, not what else its section holds.
    """
    from . import snapshot

    return snapshot.remember(
        ("visible ids", using, model, viewer), lambda: _find_visible_ids(model, viewer, using)
    )


def _find_visible_ids(model: Any, viewer: Viewer, using: str) -> list[Any]:
    rows = model._base_manager.using(using).order_by()
    if not viewer.is_admin:
        own = _own_audience(model, viewer, "") & _outer_parents(model, viewer, using, "")
        rows = rows.filter(own)
    nested_by = parent_in_itself(model)
    if nested_by is None:
        return list(rows.values_list("pk", flat=True))
    parent = model._meta.get_field(nested_by).attname
    return _reachable(rows.values_list("pk", parent), model.audience_depth)


def _reachable(rows: Any, depth: int) -> list[Any]:
    """The nodes that hang, through admitted nodes only, from a root at most `depth` levels up.

    A cycle, a missing parent or too deep a chain is never reached, so it denies.
    """
    children: dict[Any, list[Any]] = {}
    for pk, parent in rows:
        children.setdefault(parent, []).append(pk)
    reached: list[Any] = []
    level = children.get(None, [])
    for _ in range(depth):
        reached += level
        level = [child for pk in level for child in children.get(pk, [])]
    return reached


def editable_ids(model: Any, name: str, viewer: Viewer, using: str) -> list[Any]:
    """The permission groups (or whatever holds the audience `name`) that name this staff member."""
    from . import snapshot
    from .models import Audience

    def find() -> list[Any]:
        granted = viewer.audiences - {Audience.EVERYONE}
        rows = model._base_manager.using(using).filter(Among(f"{name}_id", sorted(granted)))
        return list(rows.values_list("pk", flat=True))

    return snapshot.remember(("editable ids", using, model, name, viewer), find)


class SegmentQuerySet(models.QuerySet[Any]):
    """User segments."""

    def assignable(self) -> Self:
        """Those that content may be restricted to: all but the placeholders."""
        return self.exclude(built_in__in=PLACEHOLDERS)

    def for_user(self, user: Any) -> Self:
        """The segments that this person is in. An admin's right to see all is no membership."""
        from .ruleset import viewer_for

        return self.filter(Among("pk", sorted(viewer_for(user, self.db).segments)))
