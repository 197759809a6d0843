"""The API described as OpenAPI: what every `Endpoint` takes, gives and refuses, said once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from helpcenter.models import HelpCenter

from .base import Endpoint, admin, anybody
from .errors import help_center_envelope

# What every answer says about the caller's limit.
RATE_HEADERS = {
    "X-Rate-Limit": "Requests that the caller may make in a minute",
    "X-Rate-Limit-Remaining": "How many of them are left in this minute",
}
ERRORS = {
    400: "A parameter or the body cannot be understood; the field is named",
    401: "Nobody is signed in, or the token is not accepted",
    403: "The caller may not do this",
    404: "There is no such thing, or none that the caller may see",
    405: "Not offered at this address",
    412: "If-Match names another version than the stored one",
    413: "Too large",
    415: "The body is of another type than those accepted here",
    422: "The body is refused; the field is named",
    429: "Too many requests in this minute",
}
# What operations refer to; settings.SPECTACULAR_SETTINGS adds it to the components.
COMPONENTS = {
    "headers": {
        name: {"description": words, "schema": {"type": "integer"}}
        for name, words in RATE_HEADERS.items()
    },
    "responses": {
        f"Error{code}": {
            "description": words,
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_HEADERS},
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
        for code, words in ERRORS.items()
    },
}
LIST = {
    "count": {"type": "integer"},
    "page": {"type": "integer"},
    "per_page": {"type": "integer"},
    "page_count": {"type": "integer"},
    "next_page": {"type": ["string", "null"], "format": "uri"},
    "previous_page": {"type": ["string", "null"], "format": "uri"},
    "meta": {
        "type": "object",
        "properties": {
            "has_more": {"type": "boolean"},
            "after_cursor": {"type": ["string", "null"]},
            "before_cursor": {"type": ["string", "null"]},
        },
    },
    "links": {
        "type": "object",
        "properties": {
            "next": {"type": ["string", "null"], "format": "uri"},
            "prev": {"type": ["string", "null"], "format": "uri"},
        },
    },
}


def without_variants(endpoints: Iterable[Any], **kwargs: Any) -> list[Any]:
    """Each operation once: `.json` and the locale in the address are said in the description."""
    return [
        (path, *rest)
        for path, *rest in endpoints
        if path.startswith("/api/v2/")
        and not path.endswith(".json")
        and not path.startswith("/api/v2/help_center/{locale}/")
    ]


def with_components(result: Any, **kwargs: Any) -> Any:
    """The schema with what the operations refer to."""
    result["components"].update(COMPONENTS)
    return result


class EndpointSchema(AutoSchema):
    """Wraps bodies in their envelopes and adds what every endpoint takes and refuses."""

    view: Any

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """The operation of one method at one address."""
        if isinstance(self.view, Endpoint):
            # The rows depend on who asks for what; the schema needs their model for filters only.
            filterset = getattr(self.view, "filterset_class", None)
            model = (filterset and filterset._meta.model) or HelpCenter
            vars(self.view)["get_queryset"] = model._base_manager.none
        operation = super().get_operation(*args, **kwargs)
        if operation is not None and isinstance(self.view, Endpoint):
            self._wrap(operation)
            for response in operation["responses"].values():
                response["headers"] = {
                    name: {"$ref": f"#/components/headers/{name}"} for name in RATE_HEADERS
                } | response.get("headers", {})
            self._refuse(operation)
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and "0-9" in parameter["schema"].get("pattern", ""):
                    parameter["schema"] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
        return operation

    def get_operation_id(self) -> str:
        """By the address, as two views may show one kind of object."""
        parts = self.path.removeprefix("/api/v2/").replace("help_center/", "").split("/")
        words = "_".join(part.strip("{}") for part in parts)
        return f"{words}_{getattr(self.view, 'action', self.method.lower())}"

    def get_tags(self) -> list[str]:
        """What the address is about: the first words of it that are no id."""
        parts = self.path.removeprefix("/api/v2/").removeprefix("help_center/").split("/")
        return [parts[1] if parts[0] in ("guide", "access") and len(parts) > 1 else parts[0]]

    def get_auth(self) -> Any:
        """The ways to be somebody; none is needed where anonymous visitors may call."""
        auth = super().get_auth()
        if isinstance(self.view, Endpoint) and self._allowed() is anybody:
            return [*[each for each in auth if each], {}]
        return auth

    def get_override_parameters(self) -> list[Any]:
        """What `Endpoint` reads from the query."""
        view = self.view
        if not isinstance(view, Endpoint):
            return []
        found = []
        if view.includes:
            names = ", ".join(view.includes)
            found.append(OpenApiParameter("include", str, description=f"Any of: {names}"))
        if self._is_list() and view.sorts:
            found.append(OpenApiParameter("sort_by", str, enum=[*view.sorts]))
            found.append(OpenApiParameter("sort_order", str, enum=["asc", "desc"]))
        if self.method in ("PUT", "DELETE"):
            words = "The ETag that was read; 412 when it is another by now"
            found.append(
                OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description=words)
            )
        return found

    def _allowed(self) -> Any:
        return self.view.allowed.get(self.view.action, admin)

    def _is_list(self) -> bool:
        return bool(self.view.action == "list")

    def _wrap(self, operation: dict[str, Any]) -> None:
        """Put the view's own kind of object into its envelope, wherever it is said to be plain."""
        if not hasattr(self.view, "singular"):
            return
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            if "json" in media_type and self._is_own(body["schema"]):
                body["schema"] = _object({self.view.singular: body["schema"]})
        for status, response in operation["responses"].items():
            for body in response.get("content", {}).values():
                if status.startswith("2"):
                    body["schema"] = self._enveloped(body["schema"])

    def _is_own(self, schema: dict[str, Any]) -> bool:
        name = self.view.serializer_class.__name__.removesuffix("Serializer")
        return schema.get("$ref", "").rpartition("/")[2] in {name, f"{name}Request"}

    def _enveloped(self, schema: dict[str, Any]) -> dict[str, Any]:
        if self._is_own(schema):
            return _object({self.view.singular: schema})
        if not self._is_own(schema.get("items", {})):
            return schema
        envelope = _object({self.view.plural: schema})
        return {**envelope, "properties": {**envelope["properties"], **LIST}}

    def _refuse(self, operation: dict[str, Any]) -> None:
        view = self.view
        codes = {400, 404, 405, 429}
        if operation.get("security") != [{}]:
            codes |= {401, 403}
        if self.method in ("PUT", "POST", "PATCH", "DELETE"):
            codes |= {401, 403, 412, 413, 415}
            if view.invalid_envelope is not help_center_envelope:
                codes.add(422)
        for code in sorted(codes):
            reference = {"$ref": f"#/components/responses/Error{code}"}
            operation["responses"].setdefault(str(code), reference)

    def _get_paginator(self) -> None:
        """None: the envelope of lists is described here."""

    def _get_pagination_parameters(self) -> Any:
        view = self.view
        if not isinstance(view, Endpoint) or not self._is_list():
            return []
        return view.pagination_class().get_schema_operation_parameters(view)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


class TokenScheme(OpenApiAuthenticationExtension):
    """`Bearer TOKEN`, or Zendesk's `email/token:TOKEN`."""

    target_class = "helpcenter.api.authentication.TokenAuthentication"
    name = ["token", "emailAndToken"]

    def get_security_definition(self, auto_schema: Any) -> Any:
        return [{"type": "http", "scheme": "bearer"}, {"type": "http", "scheme": "basic"}]

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [{name: []} for name in self.name]


class SessionScheme(OpenApiAuthenticationExtension):
    """Somebody who is signed in on the site; unsafe methods need `X-CSRFToken`."""

    target_class = "helpcenter.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Any:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
