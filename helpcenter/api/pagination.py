"""Zendesk's two ways to page: by offset (`page`, `per_page`) and by cursor (`page[size]`, …)."""

from __future__ import annotations

import base64
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import QueryDict
from rest_framework.pagination import BasePagination
from rest_framework.response import Response

from .errors import InvalidParameter, TooDeep


class ZendeskPagination(BasePagination):
    """Cursor when the caller names `page[size]`, `page[after]` or `page[before]`, else offset.

    The view says `plural` (the key of the list), `default_per_page` and `max_per_page`.
    """

    cursors = True
    # How many records can be reached by offset.
    deepest = 10_000

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        """The rows of the page that was asked for."""
        self.request, self.view = request, view
        params = request.query_params
        named = any(f"page[{name}]" in params for name in ("size", "after", "before"))
        self.by_cursor = self.cursors and named
        if self.by_cursor:
            return self._read_by_cursor(queryset)
        return self._read_by_offset(queryset)

    def get_paginated_response(self, data: dict[str, Any]) -> Response:
        """`data` (the list and what is side-loaded, by key) with what leads to other pages."""
        if self.by_cursor:
            meta = {
                "has_more": self.has_more,
                "after_cursor": self.after,
                "before_cursor": self.before,
            }
            links = {
                "next": self._link({"page[after]": self.after}) if self.has_next else None,
                "prev": self._link({"page[before]": self.before}) if self.has_previous else None,
            }
            return Response({**data, "meta": meta, "links": links})
        return Response(
            {
                **data,
                "count": self.count,
                "page": self.page,
                "per_page": self.per_page,
                "page_count": self.page_count,
                "next_page": self._page(self.page + 1) if self.page < self.page_count else None,
                "previous_page": self._page(self.page - 1) if self.page > 1 else None,
            }
        )

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The parameters of both ways, for the schema."""
        number = {"type": "integer", "minimum": 1}
        size = {**number, "maximum": view.max_per_page}
        schemas: dict[str, Any] = {
            "page": number,
            "per_page": {**size, "default": min(view.default_per_page, view.max_per_page)},
        }
        if self.cursors:
            schemas["page[size]"] = size
            schemas["page[after]"] = schemas["page[before]"] = {"type": "string"}
        return [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in schemas.items()
        ]

    # Offset

    def _read_by_offset(self, queryset: Any) -> list[Any]:
        self.page = self._number("page", 1)
        self.per_page = min(
            self._number("per_page", self.view.default_per_page), self.view.max_per_page
        )
        start = (self.page - 1) * self.per_page
        if start + self.per_page > self.deepest:
            raise TooDeep(self.deepest)
        self.count = queryset.count()
        self.page_count = -(-self.count // self.per_page)
        return list(queryset[start : start + self.per_page])

    def _page(self, number: int) -> str:
        return self._link({"page": str(number), "per_page": str(self.per_page)})

    def _number(self, name: str, default: int) -> int:
        given = self.request.query_params.get(name, "")
        if not given:
            return default
        if not given.isascii() or not given.isdigit() or not 0 < len(given) < 10 or int(given) < 1:
            raise InvalidParameter(name, f"{name} must be a whole number from 1 on")
        return int(given)

    # Cursor

    def _read_by_cursor(self, queryset: Any) -> list[Any]:
        size = min(self._number("page[size]", self.view.max_per_page), self.view.max_per_page)
        params = self.request.query_params
        after, before = params.get("page[after]"), params.get("page[before]")
        if after and before:
            raise InvalidParameter("page[before]", "Use page[after] or page[before], not both")
        order = _order(queryset)
        if before:
            order = [(name, not descending) for name, descending in order]
        rows = queryset.order_by(*(f"-{name}" if desc else name for name, desc in order))
        if given := after or before:
            name = "page[after]" if after else "page[before]"
            rows = rows.filter(decode_cursor(given, order, queryset.model, name))
        found = list(rows[: size + 1])
        # Zendesk's `has_more` looks in the direction of travel.
        self.has_more, found = len(found) > size, found[:size]
        if before:
            found.reverse()
        self.has_next = bool(found) and (self.has_more or bool(before))
        self.has_previous = bool(found) and (self.has_more if before else bool(after))
        names = [name for name, _descending in order]
        self.after = encode_cursor(found[-1], names) if found else None
        self.before = encode_cursor(found[0], names) if found else None
        return found

    def _link(self, changes: dict[str, str | None]) -> str:
        """This address with other parameters; a cursor replaces the one that led here."""
        query: QueryDict = self.request.query_params.copy()
        for name in ("page[after]", "page[before]"):
            query.pop(name, None)
        for name, value in changes.items():
            query[name] = value or ""
        return self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}")


def _order(queryset: Any) -> list[tuple[str, bool]]:
    """(field, is descending) of the queryset's order, which ends with the primary key."""
    order = [
        (name.lstrip("-"), name.startswith("-"))
        for name in queryset.query.order_by or queryset.model._meta.ordering
    ]
    if not order or order[-1][0] not in ("id", "pk"):
        order.append(("id", order[-1][1] if order else False))
    return order


def _beyond(order: list[tuple[str, bool]], values: list[Any]) -> Q:
    """The rows after the one with these values, whose index on the first field can be used."""
    beyond, equal = Q(), Q()
    for (name, descending), value in zip(order, values, strict=True):
        beyond |= equal & Q(**{f"{name}__{'lt' if descending else 'gt'}": value})
        equal &= Q(**{name: value})
    (name, descending), value = order[0], values[0]
    return Q(**{f"{name}__{'lte' if descending else 'gte'}": value}) & beyond


def encode_cursor(row: Any, names: list[str]) -> str:
    """The place of a row in an order, to go on after it."""
    values = [getattr(row, name) for name in names]
    return base64.urlsafe_b64encode(json.dumps(values, default=str).encode()).decode()


def decode_cursor(cursor: str, order: list[tuple[str, bool]], model: Any, name: str) -> Q:
    """The rows beyond the cursor; 400, naming the parameter, for a cursor that is none of ours."""
    try:
        values = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(order):
            raise ValueError
        pairs = zip(order, values, strict=True)
        return _beyond(order, [_clean(model, field, value) for (field, _), value in pairs])
    except (ValueError, TypeError, OverflowError, RecursionError, ValidationError):
        raise InvalidParameter(name, "It is not a cursor of this list") from None


def _clean(model: Any, field: str, value: Any) -> Any:
    """A value of a cursor as the field has it; an error for what it could never be."""
    if isinstance(value, dict | list | bool) or value is None:
        raise ValueError
    known = {f.name: f for f in model._meta.concrete_fields}
    if field in known or field == "pk":
        column = model._meta.pk if field == "pk" else known[field]
        value = column.to_python(value)
    elif not isinstance(value, str):
        # An annotation: titles and dates, which cursors have as texts.
        raise ValueError
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise OverflowError
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError
        value.encode()  # half of a surrogate pair is no text that a database knows
    return value
