"""What every request must be like, and what every answer says about itself."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils import translation

Handler = Callable[[HttpRequest], HttpResponseBase]

# The longest path and the longest query that are read at all.
LONGEST = 8 * 1024

# What a page may not ask the browser for.
FEATURES = ["camera", "display-capture", "geolocation", "microphone", "payment", "usb"]


def plain_request(get_response: Handler) -> Handler:
    """Refuse what no page can mean: 414 for very long addresses, 400 for bytes that are no text.

    A NUL byte is text to Python and SQLite but an error to PostgreSQL, wherever it comes from:
    a quoted cookie can hold one too. Broken UTF-8 in a path has become `%FF` by now (Django does
    that), which is text, and the name of nothing.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        query = request.META.get("QUERY_STRING", "")
        if len(request.path_info) > LONGEST or len(query) > LONGEST:
            return _refusal(request, 414, "The address is too long")
        texts = [request.path_info, *request.COOKIES.values()]
        if any("\0" in text for text in texts) or not _is_text(unquote_to_bytes(query)):
            return _refusal(request, 400, "The address or a cookie holds bytes that are no text")
        return get_response(request)

    return middleware


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode()
    except UnicodeDecodeError:
        return False


def _refusal(request: HttpRequest, status: int, description: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        body = {"error": "BadRequest", "description": description}
        return JsonResponse(body, status=status)
    return HttpResponse(render_to_string(f"{status}.html"), status=status)


def private_by_default(get_response: Handler) -> Handler:
    """Keep answers out of every cache, and away from other sites.

    An exception is what is the same for everybody: its view says `public, no-cache` and gives a
    validator, so a cache asks each time. Whatever else a view says about caches is overruled.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not _is_the_same_for_everybody(response):
            response.headers["Cache-Control"] = "private, no-store"
            # Nothing to say beside it, and a time that makes equal answers differ.
            response.headers.pop("Expires", None)
            # For a cache that is told to ignore the above; always all, because equal answers are
            # equal whether or not somebody looked at the session.
            response.headers["Vary"] = "Accept-Language, Authorization, Cookie"
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        denied = ", ".join(f"{feature}=()" for feature in FEATURES)
        response.headers.setdefault("Permissions-Policy", denied)
        return response

    return middleware


def _is_the_same_for_everybody(response: HttpResponseBase) -> bool:
    said = response.headers.get("Cache-Control", "").split(",")
    return (
        {each.strip().lower() for each in said} == {"public", "no-cache"}
        and response.has_header("ETag")
        and not response.has_header("Expires")
        and not response.cookies
    )


def speak_the_language(get_response: Handler) -> Handler:
    """Answer in the language of the address, elsewhere of the page to return to or the browser."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with translation.override(_language(request)):
            return get_response(request)

    return middleware


def _language(request: HttpRequest) -> str:
    known = dict(settings.LANGUAGES)
    addresses = [request.path_info, *parse_qs(request.META.get("QUERY_STRING", "")).get("next", [])]
    for address in addresses:
        parts = address.split("?")[0].split("/")
        if parts[:2] == ["", "hc"] and len(parts) > 2 and parts[2] in known:
            return parts[2]
    return translation.get_language_from_request(request)
