"""Refusals in Zendesk's envelopes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from segments.models import StaleSegment
from segments.snapshot import SAFE_METHODS, is_outage, unavailable

NOT_FOUND = {"error": "RecordNotFound", "description": "Not found"}
FORBIDDEN = {
    "error": "Forbidden",
    "description": "You do not have access to this page. Please contact the account owner of this "
    "help desk for further help.",
}
UNAUTHENTICATED = {"error": "Couldn't authenticate you"}


class InvalidParameter(exceptions.APIException):
    """400: a query parameter that cannot be understood."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"You passed an invalid value for the {name} attribute. {problem}")


class InvalidAttributes(exceptions.APIException):
    """400 as Zendesk says that an article lacks its permissions: one message for all fields."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(
            ". ".join(
                f"You passed an invalid value for the {name} attribute. {problem}"
                for name, problem in problems.items()
            )
        )


class TooDeep(exceptions.APIException):
    """400: further than offsets reach."""

    status_code = status.HTTP_400_BAD_REQUEST

    def __init__(self, deepest: int) -> None:
        super().__init__(
            f"Offset pagination ends after {deepest:,} records. "
            "Where there is cursor pagination, use that: page[size]=100"
        )


class Stale(exceptions.APIException):
    """412: `If-Match` names a version that is not the stored one."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = "Somebody else changed it since you read it. Nothing was saved."


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to what an API view raised; None for what is a fault of ours."""
    invalid = getattr(context.get("view"), "invalid_envelope", help_center_envelope)
    if isinstance(error, StaleSegment):
        error = Stale()
    elif isinstance(error, ModelValidationError):
        error = exceptions.ValidationError(_fields(error))
    elif isinstance(error, ProtectedError):
        error = exceptions.ValidationError({"base": [str(error.args[0])]})
    response = exception_handler(error, context)
    if response is None:
        return None
    # Every refusal undoes what was written before it; DRF does so only for ATOMIC_REQUESTS.
    if connection.in_atomic_block and context["request"].method not in SAFE_METHODS:
        transaction.set_rollback(True)
    if isinstance(error, exceptions.ValidationError):
        response.status_code, response.data = invalid(error.detail)
    else:
        response.data = _body(error, response)
    return response


def _body(error: Any, response: Response) -> dict[str, Any]:
    if isinstance(error, InvalidAttributes):
        return {"title": "Invalid attribute", "message": str(error.detail)}
    if isinstance(error, InvalidParameter):
        return {"error": {"title": "Invalid attribute", "message": str(error.detail)}}
    if isinstance(error, TooDeep):
        return {"error": "InvalidPaginationDepth", "description": str(error.detail)}
    if isinstance(error, Stale):
        return {"error": "PreconditionFailed", "description": str(error.detail)}
    if response.status_code == 404:
        return NOT_FOUND
    if response.status_code == 401:
        return UNAUTHENTICATED
    if response.status_code == 403:
        detail = getattr(error, "detail", "")
        # Why a session was refused helps whoever wrote the page; other reasons could tell.
        return {**FORBIDDEN, **({"description": str(detail)} if "CSRF" in str(detail) else {})}
    name = "".join(word.capitalize() for word in str(error.default_code).split("_"))
    return {"error": name, "description": str(error.detail)}


def help_center_envelope(detail: Any) -> tuple[int, dict[str, Any]]:
    """400 `{"errors": {field: [words]}}`, as the Help Center API says it."""
    errors: dict[str, list[str]] = {}
    for name, words in _flat(detail):
        errors.setdefault(name or "base", []).append(words)
    return 400, {"errors": errors}


def support_envelope(detail: Any) -> tuple[int, dict[str, Any]]:
    """422 `RecordInvalid` with details by field, as the Support API says it."""
    details: dict[str, list[dict[str, str]]] = {}
    for name, words in _flat(detail):
        described = f"{name}: {words}" if name else words
        details.setdefault(name or "base", []).append(
            {"description": described, "error": "InvalidValue"}
        )
    return 422, {
        "error": "RecordInvalid",
        "description": "Record validation errors",
        "details": details,
    }


def _flat(detail: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(field, words) of each refusal; `field[2].inner` where it is inside of something."""
    if isinstance(detail, dict):
        for key, inner in detail.items():
            if key == "non_field_errors":
                yield from _flat(inner, name)
            elif isinstance(key, int):
                yield from _flat(inner, f"{name}[{key}]")
            else:
                yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            if not nested or inner:
                yield from _flat(inner, f"{name}[{place}]" if nested else name)
    else:
        yield name, str(detail)


def _fields(error: ModelValidationError) -> Any:
    """What a model refused, by field; what concerns no single field is `base`."""
    fields = error.message_dict if hasattr(error, "error_dict") else {"base": error.messages}
    return {("base" if name == "__all__" else name): words for name, words in fields.items()}


def page_or_json(status_code: int, error: str, description: str, page: Any) -> Any:
    """A handler404 and the like: JSON below /api/, the site's page elsewhere."""

    def handler(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.path_info.startswith("/api/"):
            return JsonResponse({"error": error, "description": description}, status=status_code)
        return page(request, *args, **kwargs)

    return handler


def unavailable_page(request: HttpRequest) -> HttpResponse:
    """The page that asks to try again. It needs neither the visitor nor the database."""
    return HttpResponse(render_to_string("503.html"), status=503)


def or_unavailable(page: Any) -> Any:
    """A handler500 that says 503 of an outage, wherever in the request it showed."""

    def handler(request: HttpRequest) -> Any:
        # Django calls it while it handles the error.
        return unavailable(request) if is_outage(sys.exc_info()[1]) else page(request)

    return handler
