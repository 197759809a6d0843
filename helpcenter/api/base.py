"""What all endpoints have in common: envelopes, who may call, pages, side-loading, versions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions, parsers, serializers, status
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from helpcenter.models import HelpCenter
from segments.history import set_actor
from segments.rest_framework import VisibleToViewerFilter
from segments.ruleset import Viewer, viewer_for
from segments.snapshot import SAFE_METHODS

from .errors import InvalidParameter, Stale, help_center_envelope
from .pagination import ZendeskPagination

Allowed = Callable[[Any], bool]
# Inside of a class with a method called `list`, the word means that method.
Rows = list[Any]
Names = list[str]


# Who may call, by what the rule knows of them.


def anybody(user: Any) -> bool:
    """Anonymous visitors too; what they get is filtered."""
    return True


def signed_in(user: Any) -> bool:
    """Any active person."""
    return viewer_for(user).pk is not None


def staff(user: Any) -> bool:
    """Light agents, agents and admins."""
    return viewer_for(user).is_staff


def admin(user: Any) -> bool:
    """Admins: Zendesk's Help Center managers."""
    return viewer_for(user).is_admin


class MayCall(BasePermission):
    """What the view's `allowed` says of the action. An action that is not in it is for admins."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return view.action is None or view.allowed.get(view.action, admin)(request.user)


class TextParser(parsers.JSONParser):
    """JSON whose texts every database can store: no NUL, no half of a surrogate pair."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
            text = json.dumps(data, ensure_ascii=False)
            text.encode()
        except (RecursionError, UnicodeEncodeError, ValueError) as error:
            raise exceptions.ParseError(f"JSON parse error - {error}") from None
        if "\\u0000" in text:
            raise exceptions.ParseError("JSON parse error - NUL characters are not accepted")
        return data


class AlwaysJSON(BaseContentNegotiation):
    """As Zendesk: JSON, whatever the `Accept` header says."""

    def select_parser(self, request: Any, parsers: Iterable[Any]) -> Any:
        return DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class AllowListFilter(DjangoFilterBackend):
    """The view's `filterset_class`. Other parameters are ignored, as Zendesk does."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        """The rows that the parameters ask for; 400 names the parameter."""
        try:
            return super().filter_queryset(request, queryset, view)
        except exceptions.ValidationError as error:
            details: Any = error.get_full_details()
            name, words = next(iter(details.items()))
            raise InvalidParameter(name, str(words[0]["message"])) from None


class Endpoint(GenericViewSet):
    """One kind of object: its list, the object itself, and the writes.

    A subclass says `singular` and `plural` (the keys of bodies), a queryset that is filtered by
    viewer, and what `prepare` has to fetch for all rows of a page at once.
    """

    permission_classes = [MayCall]
    filter_backends: Any = [VisibleToViewerFilter, AllowListFilter]
    # Nothing but what a filterset_class lists.
    filterset_fields: Any = ()
    # Where VisibleToViewerFilter is missing: who sees what the view shows, for `manage.py check`.
    who_sees = ""
    pagination_class = ZendeskPagination
    parser_classes = [TextParser]
    content_negotiation_class = AlwaysJSON

    singular: str
    plural: str
    # Action -> who may call it at all. Whatever is missing is for admins.
    allowed: ClassVar[Mapping[str, Allowed]] = {}
    default_per_page = 30
    max_per_page = 100
    # `sort_by` -> the field, and what is used without one.
    sorts: ClassVar[Mapping[str, str]] = {}
    default_sort: ClassVar[str] = ""
    # True where the list says how it is sorted, as Zendesk's lists of content do.
    says_its_order: ClassVar[bool] = False
    # `include=` -> the method that returns (key, records) for the rows of the page.
    includes: ClassVar[Mapping[str, str]] = {}
    # Fields that change without anybody editing the object, left out of its version.
    volatile: ClassVar[frozenset[str]] = frozenset()
    # How a refused body is answered: the Help Center API and the Support API differ.
    invalid_envelope: Any = staticmethod(help_center_envelope)

    @property
    def viewer(self) -> Viewer:
        """The caller as the rule sees them."""
        return viewer_for(self.request.user)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Recognise the caller, name them for the history, and ask whether they may."""
        super().initial(request, *args, **kwargs)
        for name in request.query_params:
            if "__" in name:
                raise InvalidParameter(name, f"Lookups are not accepted. {self._known_filters()}")
        if request.method not in SAFE_METHODS:
            # The middleware named whoever the session has; a token may say somebody else.
            set_actor(str(request.user.pk) if request.user.pk else None)

    def _known_filters(self) -> str:
        filterset = getattr(self, "filterset_class", None)
        return f"Filters here: {', '.join(filterset.base_filters)}" if filterset else ""

    # Reading

    def list(self, request: Any, **kwargs: Any) -> Response:
        """One page of the objects that the caller may see."""
        rows = self.in_order(self.filter_queryset(self.get_queryset()))
        return self.paged(rows)

    def paged(self, rows: Any) -> Response:
        """One page of these rows, in the envelope."""
        page = self.paginate_queryset(rows)
        assert self.paginator is not None
        return self.paginator.get_paginated_response(self.envelope(self.plural, page or [], True))

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """The object, with its version as ETag. A hidden one is missing."""
        return self.answer(self.get_object())

    def answer(self, row: Any, status_code: int = status.HTTP_200_OK) -> Response:
        """The object in its envelope, with its version."""
        data = self.envelope(self.singular, [row], False)
        etag = self.version_of(data[self.singular])
        return Response(data, status_code, headers={"ETag": etag})

    def envelope(self, key: str, rows: Rows, many: bool) -> dict[str, Any]:
        """`{key: …}` and what `include` asks for beside it."""
        rows = self.prepare(rows)
        data = [self.get_serializer(row).data for row in rows]
        body: dict[str, Any] = {key: data if many else data[0]}
        if many and self.says_its_order:
            body["sort_by"], body["sort_order"] = self.sorting()
        for name in self.included():
            body.update(getattr(self, self.includes[name])(rows, data))
        return body

    def prepare(self, rows: Rows) -> Rows:
        """The rows with everything that their representation needs, fetched for all at once."""
        return rows

    def included(self) -> Names:
        """What `include` names and this list can side-load; the rest is ignored."""
        asked = self.request.query_params.get("include", "").split(",")
        return [name for name in self.includes if name in {each.strip() for each in asked}]

    def in_order(self, rows: Any) -> Any:
        """The rows as `sort_by` and `sort_order` say, the primary key last."""
        if not self.sorts:
            return rows
        by, order = self.sorting()
        field = self.sorts[by]
        names = [field] if field in ("id", "pk") else [field, "id"]
        return rows.order_by(*(f"-{name}" if order == "desc" else name for name in names))

    def sorting(self) -> tuple[str, str]:
        """(`sort_by`, `sort_order`) of this list; 400 names the accepted values."""
        by = self._choice("sort_by", [*self.sorts], self.default_sort)
        return by, self._choice("sort_order", ["asc", "desc"], "asc")

    def _choice(self, name: str, accepted: Names, default: str) -> str:
        given = self.request.query_params.get(name) or default
        if given not in accepted:
            raise InvalidParameter(name, f"Use one of {', '.join(accepted)}")
        return given

    # Writing

    def create(self, request: Any, **kwargs: Any) -> Response:
        """A new object from the body; 201."""
        serializer = self.get_serializer(data=self.body())
        serializer.is_valid(raise_exception=True)
        return self.answer(self.stored(self.perform_create(serializer)), status.HTTP_201_CREATED)

    def update(self, request: Any, **kwargs: Any) -> Response:
        """The object with the named fields changed, the others as they were."""
        row = self.get_object()
        self.check_update(row)
        self.check_version(row)
        serializer = self.get_serializer(row, data=self.body(), partial=True)
        serializer.is_valid(raise_exception=True)
        return self.answer(self.stored(self.perform_update(serializer)))

    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """204, and the object is gone."""
        row = self.get_object()
        self.check_destroy(row)
        self.check_version(row)
        self.perform_destroy(row)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def perform_create(self, serializer: Any) -> Any:
        """Store the new object and return it."""
        return serializer.save()

    def perform_update(self, serializer: Any) -> Any:
        """Store the changes and return the object."""
        return serializer.save()

    def perform_destroy(self, instance: Any) -> None:
        """Delete it."""
        instance.delete()

    def check_update(self, row: Any) -> None:
        """PermissionDenied unless the caller may change this object; before any validator."""

    def check_destroy(self, row: Any) -> None:
        """PermissionDenied unless the caller may delete this object."""

    def stored(self, row: Any) -> Any:
        """The object as it is stored now: what the caller just wrote, so nothing new to them."""
        return type(row)._base_manager.get(pk=row.pk)

    def body(self, key: str | None = None) -> dict[str, Any]:
        """What the body has under its key; 400 when that is no object."""
        key = key or self.singular
        data = self.request.data
        inner = data.get(key) if isinstance(data, dict) else None
        if not isinstance(inner, dict):
            words = f"is required: send {{{json.dumps(key)}: {{…}}}} as JSON"
            raise serializers.ValidationError({key: [words]})
        return inner

    # Versions

    def version_of(self, data: Mapping[str, Any]) -> str:
        """A strong ETag of a representation: whatever somebody could have edited changes it."""
        kept = {name: value for name, value in data.items() if name not in self.volatile}
        text = json.dumps(kept, sort_keys=True, default=str)
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def check_version(self, row: Any) -> None:
        """412 when the caller names a version that is not the present one."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return
        present = self.version_of(self.get_serializer(self.prepare([row])[0]).data)
        if present not in re.findall(r'"[^"]*"', wanted):
            raise Stale()

    # The help center

    @cached_property
    def locale(self) -> str | None:
        """The locale of the address or of `?locale=`, else None; 404 unless it is enabled."""
        locale = self.kwargs.get("locale")
        if locale is None:
            locale = self.request.query_params.get("locale") or None
        if locale is None:
            return None
        help_center = self.help_center
        found = {each.lower(): each for each in help_center.locales}.get(locale.lower())
        if found is None:
            raise Http404
        return found

    @cached_property
    def help_center(self) -> HelpCenter:
        """The help center; 404 for whoever may not see it."""
        current = HelpCenter.objects.current()
        if current is None or not current.is_visible_to(self.request.user):
            raise Http404
        return current


def find(rows: Any, pk: Any) -> Any:
    """The row of a filtered queryset with this id; 404 whether it is hidden or missing."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def refuse_unless(allowed: bool) -> None:
    """403 unless it is allowed."""
    if not allowed:
        raise exceptions.PermissionDenied()


class IdField(serializers.IntegerField):
    """An id: a number that fits the database."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=2**63 - 1, **kwargs)


def api_url(request: Any, path: str) -> str:
    """The absolute address of `path` below /api/v2, as Zendesk writes it: with `.json`."""
    return request.build_absolute_uri(f"/api/v2/{path}.json")


@extend_schema_field(OpenApiTypes.URI)
class UrlField(serializers.Field):
    """The object's own address: `help_center/articles/{pk}` filled with its fields."""

    def __init__(self, path: str, **kwargs: Any) -> None:
        self.path = path
        super().__init__(read_only=True, source="*", **kwargs)

    def to_representation(self, value: Any) -> str:
        path = re.sub(r"\{(\w+)\}", lambda name: str(getattr(value, name[1])), self.path)
        return api_url(self.context["request"], path)


class Words(serializers.CharField):
    """Text that may be long; at most `max_length` characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "max_length": LONGEST_BODY, **kwargs})


# A body longer than this takes seconds to render.
LONGEST_BODY = 400_000
